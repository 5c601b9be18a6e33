"""Everything in a guard that has memory is saved, and goes on where it was."""

from __future__ import annotations

import io
import math

import pytest
import torch
from torch import nn

import gradcore
import training


class Learning(nn.Module):
    """A strategy that remembers the largest norm it could trust."""

    name = "learning"
    needs = ()

    def __init__(self):
        super().__init__()
        self.register_buffer("largest", torch.zeros((), dtype=torch.float64))

    def forward(self, statistics):
        learned = torch.maximum(self.largest, statistics.norm)
        self.largest = torch.where(statistics.trusted, learned, self.largest)
        return gradcore.Keep()


def through_a_file(state):
    """Saved and loaded as a checkpoint that nobody has to trust."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def made(**options):
    owner = nn.Parameter(torch.zeros(1))
    guard = gradcore.Guard([("weight", owner)], clip=Learning(), **options)
    return owner, guard


def run(owner, guard, *values):
    for value in values:
        owner.grad = torch.tensor([value])
        guard.apply()


def test_history_and_the_number_of_steps_go_on():
    first, second = made(), made()
    run(*first, 1.0, math.nan, 3.0)

    second[1].load_state_dict(through_a_file(first[1].state_dict()))
    run(*second, 4.0)
    history = second[1].history
    assert [report.step for report in history] == [0, 1, 2, 3]
    assert [report.norm for report in history] == [1.0, 0.0, 3.0, 4.0]
    assert [report.skipped for report in history] == [False, True, False, False]
    assert history[1].first_nonfinite == "weight"
    assert history.summary()["mean_norm"] == pytest.approx(8 / 3)


def test_the_memory_of_a_strategy_goes_on_and_never_held_a_fault():
    first, second = made(), made()
    run(*first, 5.0, math.nan, math.inf, 2.0)

    second[1].load_state_dict(through_a_file(first[1].state_dict()))
    strategy = [value for value in _tensors(second[1].state_dict()) if value.ndim == 0]
    assert 5.0 in [value.item() for value in strategy]
    assert all(math.isfinite(value.item()) for value in strategy)


def test_a_streak_goes_on():
    first, second = made(max_consecutive=3), made(max_consecutive=3)
    run(*first, math.nan, math.nan)

    second[1].load_state_dict(through_a_file(first[1].state_dict()))
    with pytest.raises(gradcore.NonfiniteGradientError):
        run(*second, math.nan)


def test_every_goes_on():
    first, second = made(every=3), made(every=3)
    run(*first, 1.0, 2.0)

    second[1].load_state_dict(through_a_file(first[1].state_dict()))
    run(*second, 3.0, 4.0, 5.0, 6.0)
    assert len(second[1].history) == 2


def test_a_state_is_a_copy():
    owner, guard = made()
    run(owner, guard, 1.0)
    state = guard.state_dict()
    before = training.freeze(state)

    run(owner, guard, 9.0, math.nan)
    assert training.freeze(state) == before


def test_a_shorter_history_keeps_the_newest():
    first, second = made(), made(history=2)
    run(*first, 1.0, 2.0, 3.0)

    second[1].load_state_dict(through_a_file(first[1].state_dict()))
    assert [report.norm for report in second[1].history] == [2.0, 3.0]


class Twofold(nn.Module):
    """A strategy with a memory of two parts, the first of which fits any other."""

    name = "twofold"
    needs = ()

    def __init__(self, size):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("norms", torch.zeros(size))

    def forward(self, statistics):
        self.calls += 1
        self.norms.fill_(statistics.norm)
        return gradcore.Keep()


def test_a_state_that_does_not_fit_changes_nothing():
    owner = nn.Parameter(torch.zeros(1))
    wide, narrow = (gradcore.Guard([owner], clip=Twofold(size)) for size in (3, 2))
    run(owner, wide, 1.0, 2.0, math.nan)
    run(owner, narrow, 7.0)
    before = training.freeze(narrow.state_dict())

    with pytest.raises(RuntimeError, match="norms"):
        narrow.load_state_dict(through_a_file(wide.state_dict()))
    assert training.freeze(narrow.state_dict()) == before
    assert (narrow.steps, [report.norm for report in narrow.history]) == (1, [7.0])
    assert (narrow.clip.calls.item(), narrow.clip.norms.tolist()) == (1.0, [7.0, 7.0])
    run(owner, narrow, 8.0)
    assert [report.step for report in narrow.history] == [0, 1]


HISTORIES = {
    "nothing": {},
    "no tensor": {"rows": [[1.0]], "names": []},
    "one dimension": {"rows": torch.zeros(3), "names": []},
    "columns of another version": {"rows": torch.zeros(2, 3), "names": []},
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_a_history_that_is_none_changes_nothing(history):
    first, second = made(), made()
    run(*first, 1.0)
    run(*second, 7.0, 8.0)
    before = training.freeze(second[1].state_dict())

    with pytest.raises(ValueError, match="A history is `rows`"):
        second[1].load_state_dict({**first[1].state_dict(), "history": history})
    assert training.freeze(second[1].state_dict()) == before
    assert [report.norm for report in second[1].history] == [7.0, 8.0]


def test_a_state_of_another_strategy_or_format_changes_nothing():
    owner, guard = made()
    run(owner, guard, 7.0)
    before = training.freeze(guard.state_dict())
    other = gradcore.Guard([owner], max_norm=1.0).state_dict()

    for state in (other, {**guard.state_dict(), "format": 0}, {"format": 1}, {}):
        with pytest.raises(ValueError, match="state of a guard|state is of a guard"):
            guard.load_state_dict(state)
    assert training.freeze(guard.state_dict()) == before


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("history", None),
        ("history", {"rows": torch.ones(2, 17), "names": []}),
        ("history", {"rows": torch.full((2, 17), math.nan), "names": ["a", "b"]}),
        ("history", {"rows": torch.ones(2, 17, dtype=torch.complex64), "names": ["a", "b"]}),
        ("history", {"rows": torch.ones(2, 17), "names": 3}),
        ("clip", None),
        ("steps", None),
        ("consecutive", -1),
    ],
)
def test_a_state_that_is_none_is_refused_and_changes_nothing(key, value):
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.ones(2)
    guard = gradcore.Guard([("weight", parameter)], max_norm=1.0)
    guard.apply()

    with pytest.raises(ValueError, match=key if key != "history" else "A history is"):
        guard.load_state_dict({**guard.state_dict(), key: value})
    assert (guard.steps, len(guard.history), guard.history[0].step) == (1, 1, 0)


@pytest.mark.parametrize("of_module", [True, False])
def test_a_state_saved_after_parameters_were_added_fits_a_guard_made_for_all_of_them(of_module):
    net = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = gradcore.Guard(net if of_module else optimizer, max_norm=1.0)
    training.backward(net)
    guard.step(optimizer)

    net.register_parameter("added", nn.Parameter(torch.zeros(2)))
    optimizer.add_param_group({"params": [net.added]})
    state = through_a_file(guard.state_dict())
    again = gradcore.Guard(net if of_module else optimizer, max_norm=1.0)
    again.load_state_dict(state)
    assert (again.steps, len(again.names)) == (1, 3)
    again.load_state_dict(guard.state_dict())


@pytest.mark.parametrize("clip", ["percentile", "adaptive", "ema"])
def test_a_state_is_a_copy_of_memory_that_is_written_in_place(clip):
    owner = nn.Parameter(torch.zeros(1))
    guard = gradcore.Guard([owner], clip=clip)
    run(owner, guard, 1.0)
    state = guard.state_dict()
    before = training.freeze(state)

    run(owner, guard, 9.0, 3.0)
    assert training.freeze(state) == before

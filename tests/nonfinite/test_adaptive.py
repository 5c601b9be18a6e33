"""Adaptive answers by the share that is not finite and by the length of the streak."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import gradcore
import training
from gradcore import plan
from gradcore.nonfinite import Adaptive
from gradcore.statistics import ROWS, Statistics

SIZE = 10_000


def statistics(bad, loss=None, *, of_parameters=None):
    """Of one gradient of ten thousand elements, so many of which are infinite."""
    tables = []
    for count in (bad, of_parameters or 0):
        table = torch.zeros(len(ROWS), 2, dtype=torch.float64)
        table[ROWS.index("numel")] = SIZE
        table[ROWS.index("posinf")] = count
        tables.append(table)
    finite = bad == 0 and not of_parameters and (loss is None or math.isfinite(loss))
    return Statistics(
        tables[0],
        torch.tensor([finite])[0],
        frozenset(ROWS) | ({"parameter_nonfinite"} if of_parameters is not None else set()),
        parameters_table=None if of_parameters is None else tables[1],
        loss=None if loss is None else torch.tensor(loss, dtype=torch.float64),
    )


def answer(policy, seen):
    """What the policy does in a step: step, zero, skip or restore."""
    repair, skip, *others = policy(seen)
    assert repair == plan.ZeroElements()
    if any(verb.when for verb in others):
        return "restore"
    if skip.when:
        return "skip"
    return "step" if seen.trusted else "zero"


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (statistics(0), "step"),
        (statistics(0, 1.0), "step"),
        (statistics(1), "zero"),  # a share of exactly 1e-4
        (statistics(1, 1.0), "zero"),
        (statistics(2), "skip"),
        (statistics(SIZE), "skip"),
        (statistics(0, math.nan), "skip"),
        (statistics(1, -math.inf), "skip"),
        (statistics(0, of_parameters=0), "step"),
        (statistics(0, of_parameters=1), "zero"),
        (statistics(1, of_parameters=2), "skip"),
        (statistics(2, of_parameters=0), "skip"),
    ],
    ids=range(12),
)
def test_the_first_of_a_streak_is_answered_by_its_share(seen, wanted):
    assert answer(Adaptive(), seen) == wanted


def test_a_streak_is_answered_by_its_length_and_begins_anew_after_a_finite_step():
    policy = Adaptive()
    streak = ["zero"] * 2 + ["skip"] * 7 + ["restore"] * 3

    for _ in range(2):
        assert [answer(policy, statistics(1)) for _ in range(12)] == streak
        assert answer(policy, statistics(0)) == "step"


steps = st.lists(st.tuples(st.sampled_from([0, 0, 1, 2, 9]), st.sampled_from([1.0, 1.0, math.nan])))


@given(steps, st.integers(1, 4), st.integers(1, 6))
def test_any_run_is_answered_as_the_rule_says(steps, skip_from, restore_from):
    """The rule once more, step by step, in plain numbers."""
    policy = Adaptive(max_share=2e-4, skip_from=skip_from, restore_from=restore_from)
    k = 0
    for bad, loss in steps:
        k = 0 if bad == 0 and loss == 1.0 else k + 1
        wanted = "step"
        if k:
            few = bad / SIZE <= 2e-4 and k < skip_from and loss == 1.0
            wanted = "restore" if k >= restore_from else "zero" if few else "skip"
        assert answer(policy, statistics(bad, loss)) == wanted


def test_thresholds_are_options():
    policy = Adaptive(max_share=0.5, skip_from=2, restore_from=3)

    seen = [statistics(5000), statistics(1), statistics(1), statistics(0), statistics(5001)]
    assert [answer(policy, s) for s in seen] == ["zero", "skip", "restore", "step", "skip"]


def test_without_snapshots_it_never_asks_to_go_back():
    policy = Adaptive(snapshot_every=None)

    assert [answer(policy, statistics(1)) for _ in range(30)] == ["zero"] * 2 + ["skip"] * 28


@pytest.mark.parametrize(
    "options",
    [
        {"max_share": -0.1},
        {"max_share": 1.1},
        {"max_share": math.nan},
        {"skip_from": 0},
        {"restore_from": 0},
        {"snapshot_every": 0},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused_by_name(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        Adaptive(**options)


def test_the_streak_is_saved_with_the_guard():
    owner = nn.Parameter(torch.zeros(1))
    first, second = (gradcore.Guard([owner], nonfinite="adaptive") for _ in range(2))
    for _ in range(9):
        owner.grad = torch.tensor([math.nan])
        first.apply()

    second.load_state_dict(first.state_dict())
    owner.grad = torch.tensor([math.nan])
    assert second.apply().restored


def test_a_model_that_was_poisoned_is_healed_in_the_tenth_step():
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters())
    guard = gradcore.Guard(net, nonfinite="adaptive")
    for seed in range(3):
        training.backward(net, seed)
        guard.step(optimizer)
    net[0].weight.data[0, 0] = math.nan  # as a bit that fell over in memory would
    reports = []
    for seed in range(12):
        training.backward(net, seed)
        reports.append(guard.step(optimizer))

    assert [report.skipped for report in reports] == [True] * 10 + [False] * 2
    assert [report.restored for report in reports] == [False] * 9 + [True] + [False] * 2
    assert training.finite(net)


def test_it_ends_in_an_error_like_every_policy():
    owner = nn.Parameter(torch.zeros(1))
    guard = gradcore.Guard([("weight", owner)], nonfinite="adaptive", max_consecutive=12)
    reports = []
    for _ in range(11):
        owner.grad = torch.tensor([math.nan])
        reports.append(guard.apply())
    owner.grad = torch.tensor([math.nan])

    with pytest.raises(gradcore.NonfiniteGradientError, match="'weight'.*max_consecutive=12"):
        guard.apply()
    assert [report.restored for report in reports] == [False] * 9 + [True] * 2

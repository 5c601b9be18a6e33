"""A whole guarded step is captured in a graph once, and replayed like any other step."""

from __future__ import annotations

import pytest
import torch
from graphs import Captured, capturing, graph_of
from stepping import INF, NAN, PLAIN, Kept, Run, same

from gradcore import GradcoreError, NonfiniteGradientError
from gradcore.window import Window

pytestmark = pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")  # of one that is refused

GRAPHED = {
    "Adam": lambda p: torch.optim.Adam(p, lr=0.1, fused=True, capturable=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True, capturable=True),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
}
CLIPS = (
    *(None, "global_norm", ("global_norm", {"norm_type": 1.0}), ("value", {"limit": 0.02})),
    *("per_parameter_norm", "percentile", "ema", "adaptive"),
)
FAULTS = ((), (NAN,), (), (INF, -INF), (), ())
NUMBERS = ("norm", "clipped_norm", "scale", "loss", "stability")
FACTS = ("step", "skipped", "repaired", "nonfinite", "first_nonfinite")


def alike(captured, eager):
    """Assert that replays and ordinary steps do and say the same."""
    for faults in FAULTS:
        there, here = captured.step(*faults), eager.step(*faults)
        for name in NUMBERS:
            wanted = pytest.approx(getattr(here, name), rel=1e-6, nan_ok=True)
            assert getattr(there, name) == wanted, name
        for name in FACTS:
            assert getattr(there, name) == getattr(here, name), name
        assert [row.norm for row in there.parameters] == [row.norm for row in here.parameters]
    for got, wanted in zip(captured.run.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-7, equal_nan=True)
    assert same(captured.run.guard.state_dict()["clip"], eager.guard.state_dict()["clip"])


@pytest.mark.parametrize("optimizer", GRAPHED.values(), ids=GRAPHED)
@pytest.mark.parametrize("policy", ["skip", "zero", "replace", "propagate"])
def test_replays_do_what_steps_do(device, optimizer, policy):
    options = {"max_norm": 0.1, "nonfinite": policy, "checks": "default"}
    eager = Run(device, optimizer, **options)
    eager.step()
    assert eager.guard.history[-1].step == 0

    alike(Captured(Run(device, optimizer, **options)), eager)


@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_strategies_remember_what_was_replayed(device, clip):
    eager = Run(device, GRAPHED["AdamW"], clip=clip)
    eager.step()
    assert eager.guard.history[-1].step == 0

    alike(Captured(Run(device, GRAPHED["AdamW"], clip=clip)), eager)


def test_capturing_does_and_counts_nothing(device):
    run = Run(device, GRAPHED["AdamW"], clip="ema")
    captured = Captured(run)
    first = captured.step()
    assert first.step == 1
    before, state, memory = run.parameters(), run.state(), run.guard.state_dict()["clip"]
    other = graph_of(device)
    with capturing(other):
        report = run.guard.step(run.optimizer)

    assert report.step == 2
    assert run.guard.steps == 2
    assert same(before, run.parameters())
    assert same(state, run.state())
    assert same(memory, run.guard.state_dict()["clip"])
    with pytest.raises(GradcoreError, match=r"report\.replay\(graph\)"):
        _ = report.norm


def test_a_replay_waits_for_the_report_of_the_one_before_and_for_nothing_else(device, waits):
    captured = Captured(Run(device, GRAPHED["AdamW"], max_norm=0.1, checks="default"))
    assert captured.step().norm > 0.0
    with waits(0):
        captured.captured.replay(captured.graph)
    with waits(1):
        captured.captured.replay(captured.graph)


def test_watchers_see_as_many_replays_as_of_other_steps(device):
    kept = Kept()
    captured = Captured(Run(device, GRAPHED["SGD"], sinks=[kept], every=2))
    for _ in range(4):
        captured.step()
    captured.run.guard.close()

    assert kept.steps == [0, 2, 4]


def test_what_a_replay_demands_is_raised_before_the_next(device):
    captured = Captured(Run(device, GRAPHED["AdamW"], max_consecutive=2))
    captured.step(NAN)
    assert captured.step(NAN).skipped
    before = captured.run.parameters()

    with pytest.raises(NonfiniteGradientError, match="number 2 in a row"):
        captured.step()
    assert same(before, captured.run.parameters())


def test_parameters_without_a_gradient_are_no_obstacle(device):
    run = Run(device, GRAPHED["SGD"], max_norm=0.1)
    run.step()
    run.backward()
    bias = run.model[0].bias
    bias.grad = None
    assert run.guard.history[-1].step == 0
    graph = graph_of(device)
    with capturing(graph):
        report = run.guard.step(run.optimizer)

    rows = {row.name: row for row in report.replay(graph).parameters}
    assert rows["0.bias"].norm is None
    assert rows["0.weight"].norm > 0.0


@pytest.mark.parametrize("policy", ["raise", "restore", "adaptive"])
def test_a_policy_that_needs_the_host_is_refused(device, policy):
    run = Run(device, GRAPHED["AdamW"], nonfinite=policy)
    run.step()
    run.step()
    with (
        pytest.raises(GradcoreError, match="The host has a say in this step"),
        capturing(graph_of(device)),
    ):
        run.guard.step(run.optimizer)


def test_an_optimizer_that_cannot_be_told_is_refused(device):
    run = Run(device, PLAIN["SGD"])
    run.step()
    with pytest.raises(GradcoreError, match="fused optimizer"), capturing(graph_of(device)):
        run.guard.step(run.optimizer)


def test_memory_that_is_not_on_the_device_yet_is_refused(device):
    run = Run(device, GRAPHED["SGD"], clip="ema")
    run.backward()
    with pytest.raises(GradcoreError, match="take a step before"), capturing(graph_of(device)):
        run.guard.step(run.optimizer)


def test_a_report_on_its_way_is_to_be_read_first(device):
    run = Run(device, GRAPHED["SGD"])
    run.step()
    report = run.step()
    still = pytest.raises(GradcoreError, match="step 1 are still on their way")
    with still, capturing(graph_of(device)):
        run.guard.step(run.optimizer)
    assert report.norm > 0.0


def test_a_window_that_grows_and_norms_of_units_are_refused(device):
    window = Window(None).to(device)
    number, when = (torch.ones((), dtype=t, device=device) for t in (torch.float64, torch.bool))
    with pytest.raises(GradcoreError, match="A window without a size"), capturing(graph_of(device)):
        window.push(number, when)
    run = Run(device, GRAPHED["SGD"], needs=["unit_l2"])
    run.backward()
    with pytest.raises(GradcoreError, match="Norms of units"), capturing(graph_of(device)):
        run.guard.step(run.optimizer)

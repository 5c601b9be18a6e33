"""How often the host waits for the device in a step: not at all, or once."""

from __future__ import annotations

import pytest
import torch
from stepping import FUSED, NAN, PLAIN, Kept, Run, same

import gradcore
from gradcore import strategies

NEVER_SKIP = ("propagate", "detect", "zero", "replace", "zero_parameter", "scale")
HOST_DECIDES = ("raise", "restore", "adaptive")
CLIPS = [
    ("global_norm", {"max_norm": 0.1}),
    ("global_norm", {"max_norm": 0.1, "norm_type": 1.0}),
    ("value", {"limit": 0.01}),
    "per_parameter_norm",
    "percentile",
    "ema",
    "adaptive",
]
ALL = ("l1", "max_abs", "sum", "zeros", "lp", "parameter_l2")


def warm(run: Run) -> None:
    """Let the first step be over: the state of the optimizer is made, and its report is in."""
    run.step()
    assert run.guard.history[-1].step == run.count - 1


def a_step_waits(run: Run, waits, times: int, *faults: float) -> None:
    loss = run.backward(*faults)
    with waits(times):
        run.guard.step(run.optimizer, loss=loss)


@pytest.mark.parametrize("optimizer", FUSED.values(), ids=FUSED)
@pytest.mark.parametrize("fault", [(), (NAN,)], ids=["finite", "NaN"])
def test_a_fused_optimizer_is_told_to_skip_without_waiting(device, waits, optimizer, fault):
    run = Run(device, optimizer, max_norm=0.1, checks="default", sinks=[Kept()])
    warm(run)

    a_step_waits(run, waits, 0, *fault)


@pytest.mark.parametrize("optimizer", FUSED.values(), ids=FUSED)
def test_a_first_step_that_is_skipped_leaves_no_trace(device, optimizer):
    """A fused SGD that is told so starts with a momentum of whatever lies in the memory."""
    run, other = Run(device, optimizer), Run(device, optimizer)
    before = run.state()
    assert run.step(NAN).skipped
    assert same(before, run.state())

    other.count = run.count
    for each in (run, other):
        each.step()
    assert same(run.state(), other.state())
    assert same(run.parameters(), other.parameters())


@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_no_strategy_waits(device, waits, clip):
    run = Run(device, FUSED["AdamW"], clip=clip)
    warm(run)

    a_step_waits(run, waits, 0)
    assert run.guard.history[-1].norm > 0.0


def test_every_strategy_that_is_built_in_was_tried():
    tried = {clip if isinstance(clip, str) else clip[0] for clip in CLIPS}

    assert tried == {getattr(strategies, name).name for name in strategies.__all__}


@pytest.mark.parametrize("optimizer", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("policy", NEVER_SKIP)
def test_a_step_that_is_always_taken_waits_under_no_optimizer(device, waits, optimizer, policy):
    run = Run(device, optimizer, max_norm=0.1, nonfinite=policy)
    warm(run)

    a_step_waits(run, waits, 0, NAN)


@pytest.mark.parametrize("optimizer", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("fault", [(), (NAN,)], ids=["finite", "NaN"])
def test_an_optimizer_that_cannot_be_told_waits_once(device, waits, optimizer, fault):
    run = Run(device, optimizer, max_norm=0.1)
    warm(run)

    a_step_waits(run, waits, 1, *fault)


@pytest.mark.parametrize("policy", HOST_DECIDES)
def test_a_policy_that_needs_the_host_waits_once(device, waits, policy):
    run = Run(device, FUSED["AdamW"], nonfinite=policy)
    run.step()
    run.step()  # snapshots are looked at where they are taken

    a_step_waits(run, waits, 1)


def test_numbers_of_python_go_to_the_device_without_waiting(device, waits):
    run = Run(device, FUSED["AdamW"], max_norm=0.1)
    warm(run)

    run.backward()
    with waits(0):
        run.guard.step(run.optimizer, loss=0.25)
    assert run.guard.history[-1].loss == 0.25


def test_a_step_waits_for_the_report_of_the_one_before_and_for_nothing_else(device, waits):
    run = Run(device, FUSED["AdamW"], max_norm=0.1)
    warm(run)
    run.step()

    with waits(1):  # the gradients are those of before: a new batch would be waited for as well
        run.guard.step(run.optimizer)


def test_apply_waits_once_where_it_may_skip_and_not_at_all_elsewhere(device, waits):
    for policy, times in (("skip", 1), ("zero", 0)):
        run = Run(device, FUSED["SGD"], max_norm=0.1, nonfinite=policy)
        run.backward()
        run.guard.apply()
        run.guard.history  # noqa: B018 - takes in the report

        run.backward()
        with waits(times):
            run.guard.apply()


@pytest.mark.parametrize("needs", [ALL, "all"], ids=["of parameters", "of units too"])
def test_measuring_waits_for_nothing(device, waits, needs):
    run = Run(device, FUSED["SGD"])
    run.backward()
    gradcore.measure(run.model.parameters(), needs)
    with waits(0):
        gradcore.measure(run.model.parameters(), needs)


@pytest.mark.parametrize("optimizer", FUSED.values(), ids=FUSED)
def test_what_an_optimizer_is_told_is_a_zero_or_a_one(device, monkeypatch, optimizer):
    run = Run(device, optimizer)
    run.step()
    told = []
    step = type(run.optimizer).step

    def seen(self):
        told.append(self.found_inf)
        return step(self)

    monkeypatch.setattr(type(run.optimizer), "step", seen)
    run.step()
    run.step(NAN)

    assert [(t.dtype, t.ndim, t.device.type, t.item()) for t in told] == [
        (torch.float32, 0, device.type, 0.0),
        (torch.float32, 0, device.type, 1.0),
    ]
    assert not hasattr(run.optimizer, "found_inf")


def test_nothing_stays_with_an_optimizer_whose_step_fails(device, monkeypatch):
    run = Run(device, FUSED["AdamW"])
    run.step()

    def broken(self):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(type(run.optimizer), "step", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        run.step()
    assert not hasattr(run.optimizer, "found_inf")

"""What a step on a device does and says is what it does and says on the CPU, a step later."""

from __future__ import annotations

import copy
import dataclasses
import logging
import pickle

import pytest
import torch
from stepping import FUSED, INF, NAN, PLAIN, Kept, Run, Wrong, same

from gradcore import NonfiniteGradientError, PluginError, Report

POLICIES = (
    *("skip", "propagate", "detect", "zero", "replace", "zero_parameter", "scale"),
    *("restore", "adaptive"),
    ("detect", {"overflow": 0.01}),
    ("zero", {"overflow": 0.01}),
)
CLIPS = (None, "global_norm", ("value", {"limit": 0.02}), "per_parameter_norm", "ema")


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.parametrize("optimizer", [FUSED["AdamW"], PLAIN["SGD"]], ids=["fused", "plain"])
def test_training_goes_the_same_way_as_on_the_cpu(device, policy, clip, optimizer):
    runs = [Run(where, optimizer, nonfinite=policy, clip=clip) for where in (device, "cpu")]
    for faults in ((), (NAN,), (), (INF, -INF), ()):
        there, here = (run.step(*faults) for run in runs)
        for name in ("norm", "clipped_norm", "scale", "loss", "stability"):
            wanted = pytest.approx(getattr(here, name), rel=1e-4, nan_ok=True)
            assert getattr(there, name) == wanted, name
        for name in ("step", "skipped", "restored", "repaired", "nonfinite", "first_nonfinite"):
            assert getattr(there, name) == getattr(here, name), name

    for got, wanted in zip(*(run.parameters() for run in runs), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("optimizer", FUSED.values(), ids=FUSED)
def test_a_skip_leaves_parameters_state_and_gradients_as_they_were(device, optimizer):
    run = Run(device, optimizer, max_norm=0.01)
    run.step()
    loss = run.backward(NAN)
    before, state = run.parameters(), run.state()
    gradients = [p.grad.clone() for p in run.model.parameters()]
    report = run.guard.step(run.optimizer, loss=loss)

    assert report.skipped
    assert same(before, run.parameters())
    assert same(state, run.state())
    for parameter, gradient in zip(run.model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=0, equal_nan=True)
    run.step()
    assert not same(before, run.parameters())


def test_norms_of_parameters_are_told_of_a_step_that_nobody_waited_for(device):
    there, here = (Run(where, FUSED["SGD"], needs="parameter_l2") for where in (device, "cpu"))

    wanted = [row.parameter_norm for row in here.step().parameters]
    assert [row.parameter_norm for row in there.step().parameters] == pytest.approx(wanted)


def warm(run: Run) -> Run:
    """After its first step, which makes the state of the optimizer, and waits."""
    run.step()
    return run


def test_watchers_see_a_report_a_step_later_in_order_and_the_last_one_at_the_end(device):
    kept = Kept()
    run = warm(Run(device, FUSED["SGD"], sinks=[kept]))
    for count in range(1, 4):
        run.step()
        assert kept.steps == list(range(count))
    run.guard.close()

    assert kept.steps == [0, 1, 2, 3]
    assert kept.closed_after == 4


def test_a_report_that_is_read_is_shown_to_watchers_first(device):
    kept = Kept()
    run = Run(device, FUSED["SGD"], sinks=[kept], checks=[("explosion", {"bound": 1e-9})])
    run.backward()
    run.optimizer.step()  # without the guard, so that there is a state
    report = run.step()
    assert kept.steps == []

    assert report.findings[0].check == "explosion"
    assert kept.steps == [0]
    assert not report.healthy


def test_history_and_checkpoints_hold_the_step_that_is_still_on_its_way(device):
    run = Run(device, FUSED["SGD"])
    run.step()
    assert len(run.guard.history) == 1
    run.step(NAN)
    state = run.guard.state_dict()

    assert (state["steps"], state["consecutive"]) == (2, 1)


def test_every_other_step_is_looked_at(device):
    kept = Kept()
    run = Run(device, FUSED["SGD"], sinks=[kept], every=2)
    for _ in range(5):
        run.step()
    run.guard.close()

    assert kept.steps == [0, 2, 4]


def test_a_warning_comes_with_the_report(device, caplog):
    caplog.set_level(logging.WARNING, "gradcore")
    run = warm(Run(device, FUSED["SGD"]))
    report = run.step(NAN)
    assert caplog.messages == []
    assert report.nonfinite.nan == 1

    assert "'0.weight'" in caplog.text
    assert "step 1" in caplog.text


def test_too_many_nonfinite_steps_in_a_row_are_an_error_before_the_next_changes_anything(device):
    run = Run(device, FUSED["AdamW"], max_consecutive=2)
    run.step()
    run.step(NAN)
    assert run.step(NAN).skipped
    before = run.parameters()

    with pytest.raises(NonfiniteGradientError, match="number 2 in a row"):
        run.step()
    assert same(before, run.parameters())


def test_an_error_of_the_last_step_is_raised_at_the_end(device):
    kept = Kept()
    run = warm(Run(device, FUSED["AdamW"], max_consecutive=1, sinks=[kept]))
    run.step(NAN)
    with pytest.raises(NonfiniteGradientError):
        run.guard.close()

    assert kept.closed_after == 2


def test_an_error_of_the_last_step_never_hides_another(device):
    run = warm(Run(device, FUSED["AdamW"], max_consecutive=1))
    run.step(NAN)
    run.guard.__exit__(KeyError, KeyError(), None)

    assert run.guard.history[-1].skipped


def test_factors_that_may_not_be_change_nothing(device):
    run = Run(device, FUSED["AdamW"], clip=Wrong())
    run.backward()
    run.optimizer.step()  # without the guard, so that there is a state
    loss = run.backward()
    before = run.parameters()
    gradients = [p.grad.clone() for p in run.model.parameters()]
    report = run.guard.step(run.optimizer, loss=loss)

    assert report.skipped
    assert same(before, run.parameters())
    assert same(gradients, [p.grad for p in run.model.parameters()])
    with pytest.raises(PluginError, match=r"factors from 1\.5 to 1\.5"):
        run.step()


def test_a_report_is_like_any_other_wherever_it_goes(device):
    run, other = (Run(device, FUSED["AdamW"], max_norm=0.1) for _ in range(2))
    norms = [other.step().norm for _ in range(6)]
    assert isinstance(run.step(), Report)
    assert f"norm {norms[1]:.3g}" in str(run.step())
    assert run.step().to_dict()["norm"] == norms[2]
    assert copy.deepcopy(run.step()).norm == norms[3]
    assert pickle.loads(pickle.dumps(run.step())).norm == norms[4]  # noqa: S301 - our own

    report = run.step()
    assert dataclasses.replace(report) == report
    assert dataclasses.replace(report, norm=0.0) != report
    assert report != "report"
    with pytest.raises(AttributeError, match="no attribute 'norms'"):
        _ = report.norms
    with pytest.raises(AttributeError):
        report.norm = 1.0


def test_a_guard_made_with_other_options_goes_on_where_the_last_stopped(device):
    from gradcore import safe_step  # noqa: PLC0415

    run = Run(device, FUSED["AdamW"])
    for max_norm in (1.0, 2.0, 1.0):
        run.backward()
        report = safe_step(run.optimizer, max_norm=max_norm)

    assert report.step == 2
    assert report.norm > 0.0

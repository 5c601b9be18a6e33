"""Under a `GradScaler` the host waits at most once in a step, and all goes as on the CPU."""

from __future__ import annotations

import math

import pytest
import torch
from stepping import FUSED, INF, NAN, PLAIN, Run, same
from torch.amp import GradScaler

from gradcore import ScalerError


class Scaled(Run):
    """A run under a scaler."""

    def __init__(self, device, optimizer, *, init_scale=1024.0, **options):
        super().__init__(device, optimizer, **options)
        self.scaler = GradScaler(
            torch.device(device).type, init_scale=init_scale, growth_interval=2
        )

    def backward(self, *faults):
        self.optimizer.zero_grad()
        loss = self.loss()
        self.scaler.scale(loss).backward()
        self.plant(*faults)
        return loss.detach()

    def step(self, *faults):
        loss = self.backward(*faults)
        report = self.guard.step(self.optimizer, loss=loss, scaler=self.scaler)
        self.scaler.update()
        return report

    def waiting(self, waits, times, *faults):
        """A step that waits so often, with `update()`."""
        loss = self.backward(*faults)
        with waits(times):
            self.guard.step(self.optimizer, loss=loss, scaler=self.scaler)
            self.scaler.update()


def warm(run):
    run.step()
    assert run.guard.history[-1].step == 0


@pytest.mark.parametrize("optimizer", FUSED.values(), ids=FUSED)
@pytest.mark.parametrize("policy", ["skip", "zero", "propagate"])
@pytest.mark.parametrize("fault", [(), (NAN,)], ids=["finite", "NaN"])
def test_a_fused_optimizer_is_told_without_waiting(device, waits, optimizer, policy, fault):
    run = Scaled(device, optimizer, max_norm=0.1, nonfinite=policy, checks="default")
    warm(run)

    run.waiting(waits, 0, *fault)


@pytest.mark.parametrize("optimizer", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("policy", ["skip", "zero", "propagate", "raise"])
def test_any_other_optimizer_waits_once(device, waits, optimizer, policy):
    run = Scaled(device, optimizer, max_norm=0.1, nonfinite=policy)
    warm(run)

    run.waiting(waits, 1)


@pytest.mark.parametrize("policy", ["replace", ("zero", {"overflow": 1e3})], ids=str)
def test_what_is_told_in_terms_of_the_scale_waits_for_that_first(device, policy):
    if device.type != "software":
        pytest.skip("only the device in software counts waits that are no events")
    import software  # noqa: PLC0415 - only where there is such a device

    run = Scaled(device, FUSED["AdamW"], nonfinite=policy)
    warm(run)
    loss = run.backward()
    software.waits()
    run.guard.step(run.optimizer, loss=loss, scaler=run.scaler)

    assert software.waits() == ["an element", "an event"]


def test_gradients_that_the_scaler_unscaled_are_waited_for_no_more_than_others(device, waits):
    for optimizer, times in ((FUSED["AdamW"], 0), (PLAIN["SGD"], 1)):
        run = Scaled(device, optimizer, max_norm=0.1)
        warm(run)
        loss = run.backward()
        run.scaler.unscale_(run.optimizer)

        with waits(times):
            run.guard.step(run.optimizer, loss=loss, scaler=run.scaler)


def test_apply_waits_once(device, waits):
    run = Scaled(device, FUSED["AdamW"], max_norm=0.1)
    warm(run)
    run.backward()

    with waits(1):
        run.guard.apply(optimizer=run.optimizer, scaler=run.scaler)


FAULTS = ((), (NAN,), (), (), (INF, -INF), (), (), ())
POLICIES = ("skip", "propagate", "detect", "zero", "zero_parameter", "scale", "replace")
OVERFLOW = ("zero", {"overflow": 0.01})


@pytest.mark.parametrize("policy", [*POLICIES, "restore", "adaptive", OVERFLOW], ids=str)
@pytest.mark.parametrize("clip", [None, "global_norm", ("value", {"limit": 0.02})], ids=str)
@pytest.mark.parametrize("optimizer", [FUSED["AdamW"], PLAIN["SGD"]], ids=["fused", "plain"])
def test_training_goes_the_same_way_as_on_the_cpu(device, policy, clip, optimizer):
    runs = [Scaled(where, optimizer, nonfinite=policy, clip=clip) for where in (device, "cpu")]
    for faults in FAULTS:
        there, here = (run.step(*faults) for run in runs)
        for name in ("norm", "clipped_norm", "scale", "loss", "loss_scale"):
            wanted = pytest.approx(getattr(here, name), rel=1e-4, nan_ok=True)
            assert getattr(there, name) == wanted, name
        for name in ("step", "skipped", "repaired", "nonfinite", "first_nonfinite"):
            assert getattr(there, name) == getattr(here, name), name
        assert runs[0].scaler.get_scale() == runs[1].scaler.get_scale()

    for got, wanted in zip(*(run.parameters() for run in runs), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4, equal_nan=True)


def test_what_a_scaler_found_when_it_unscaled_counts(device):
    run = Scaled(device, FUSED["AdamW"])
    run.step()
    before = run.parameters()
    loss = run.backward(NAN)
    run.scaler.unscale_(run.optimizer)
    next(iter(run.model.parameters())).grad.nan_to_num_()
    report = run.guard.step(run.optimizer, loss=loss, scaler=run.scaler)
    run.scaler.update()

    assert report.skipped
    assert same(before, run.parameters())
    assert run.scaler.get_scale() == 512.0


@pytest.mark.parametrize("optimizer", [FUSED["AdamW"], PLAIN["SGD"]], ids=["fused", "plain"])
@pytest.mark.parametrize("policy", ["skip", "zero"])
def test_a_scale_below_one_does_not_let_infinity_into_parameters(device, policy, optimizer):
    run = Scaled(device, optimizer, init_scale=2.0**-20, nonfinite=policy)
    run.step()
    before = run.parameters()
    report = run.step(3e38, -3e38)

    assert report.skipped
    assert same(before, run.parameters())


@pytest.mark.parametrize("scale", [0.0, math.inf, math.nan])
def test_a_scale_that_has_collapsed_changes_nothing_and_is_said_a_step_later(device, scale):
    run = Scaled(device, FUSED["AdamW"], clip="ema")
    run.step()
    before, state = run.parameters(), run.state()
    memory = run.guard.state_dict()["clip"]
    run.scaler.update(new_scale=scale)
    loss = run.backward()
    run.guard.step(run.optimizer, loss=loss, scaler=run.scaler)

    assert same(before, run.parameters())
    assert same(state, run.state())
    with pytest.raises(ScalerError, match="The loss scale is"):
        run.guard.close()
    assert same(memory, run.guard.state_dict()["clip"])


def test_a_scale_that_has_collapsed_is_said_at_once_where_the_host_waits(device):
    run = Scaled(device, PLAIN["SGD"])
    run.step()
    before = run.parameters()
    run.scaler.update(new_scale=0.0)
    loss = run.backward()

    with pytest.raises(ScalerError, match=r"The loss scale is 0\.0"):
        run.guard.step(run.optimizer, loss=loss, scaler=run.scaler)
    assert same(before, run.parameters())

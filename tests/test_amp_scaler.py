"""What a scaler is told, what it is asked, and what becomes of it when it is used out of order."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.amp import GradScaler

import gradcore
import mixed
import training
from gradcore import books


@pytest.fixture(params=mixed.PATHS)
def path(request, monkeypatch):
    mixed.take(request.param, monkeypatch)
    return request.param


class Rig:
    """One parameter of two elements, 0, its optimizer and a scaler at 1024."""

    def __init__(self, fused=False, **options):
        self.owner = nn.Parameter(torch.zeros(2))
        self.optimizer = torch.optim.SGD([self.owner], lr=1.0, fused=fused)
        self.scaler = GradScaler("cpu", **{"init_scale": 1024.0, **options})

    def backward(self, *values):
        self.owner.grad = None
        self.scaler.scale((self.owner * torch.tensor(values)).sum()).backward()
        return self

    def found(self):
        """What the scaler is going to update by."""
        flags = self.scaler._found_inf_per_device(self.optimizer).values()  # noqa: SLF001 - the fact
        return [float(flag) for flag in flags]


def test_the_scaler_of_this_torch_keeps_its_books_as_expected():
    assert books.keeps_books(GradScaler("cpu"))


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("values", "found"),
    [((3.0, 4.0), 0.0), ((math.inf, 4.0), 1.0), ((math.nan, math.nan), 1.0), ((1e36, 1.0), 1.0)],
    ids=str,
)
def test_what_was_found_is_exactly_zero_or_one(values, found, fused):
    rig = Rig(fused).backward(*values)
    report = gradcore.Guard([rig.owner]).step(rig.optimizer, scaler=rig.scaler)

    assert rig.found() == [found]
    assert report.skipped == bool(found)
    rig.scaler.update()
    assert rig.scaler.get_scale() == (512.0 if found else 1024.0)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("policy", ["skip", "propagate", "detect", "restore"])
def test_a_step_that_the_scaler_alone_would_skip_is_skipped(policy):
    rig = Rig().backward(math.inf, 1.0)
    report = gradcore.Guard([rig.owner], nonfinite=policy).step(rig.optimizer, scaler=rig.scaler)
    rig.scaler.update()

    assert report.skipped
    assert rig.owner.tolist() == [0.0, 0.0]
    assert rig.scaler.get_scale() == 512.0


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("policy", "stepped"),
    [
        ("zero", [0.0, -3.0]),
        (("replace", {"posinf": 2.0}), [-2.0, -3.0]),
        (("replace", {"posinf": 1e38}), [-1e38, -3.0]),  # times the scale beyond float32
        ("zero_parameter", [0.0, 0.0]),
        ("scale", [0.0, -1.5]),
    ],
    ids=str,
)
def test_a_policy_that_repairs_takes_the_step_and_the_scale_backs_off_all_the_same(policy, stepped):
    rig = Rig().backward(math.inf, 3.0)
    report = gradcore.Guard([rig.owner], nonfinite=policy).step(rig.optimizer, scaler=rig.scaler)
    rig.scaler.update()

    assert (report.skipped, report.repaired) == (False, 1)
    assert rig.owner.tolist() == pytest.approx(stepped, rel=1e-7)
    assert rig.scaler.get_scale() == 512.0


@pytest.mark.usefixtures("path")
def test_a_scale_too_high_comes_down_while_a_policy_repairs():
    net = mixed.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = gradcore.Guard(net, nonfinite="zero")

    def guarded(optimizer, scaler):
        guard.step(optimizer, scaler=scaler)

    twin = mixed.model()
    scales = mixed.train(guarded, net, optimizer)
    # Other parameters, other gradients: but all overflow together while the scale is too high.
    other = torch.optim.SGD(twin.parameters(), lr=0.1)
    assert scales[:6] == mixed.train(mixed.alone, twin, other)[:6]
    assert min(scales) < scales[0] / 4
    assert not any(report.skipped for report in guard.history)
    assert training.finite(net)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("fused", [False, True])
def test_a_skip_with_finite_gradients_does_not_lower_the_scale(fused):
    class SkipLarge:
        name = "skip_large"

        def __call__(self, statistics):
            return gradcore.Skip(statistics.norm > 10.0)

    rig = Rig(fused)
    guard = gradcore.Guard([rig.owner], clip=SkipLarge())
    reports = []
    for values, loss in (((3.0, 4.0), 1.0), ((30.0, 40.0), 1.0), ((3.0, 4.0), math.nan)):
        rig.backward(*values)
        reports.append(guard.step(rig.optimizer, loss=loss, scaler=rig.scaler))
        assert rig.found() == [0.0]
        rig.scaler.update()

    assert [report.skipped for report in reports] == [False, True, True]
    assert [report.norm for report in reports] == [5.0, 50.0, 5.0]
    assert rig.owner.tolist() == [-3.0, -4.0]
    assert rig.scaler.get_scale() == 1024.0


@pytest.mark.usefixtures("path")
def test_gradients_that_are_unscaled_already_are_not_unscaled_twice():
    rig = Rig().backward(3.0, 4.0)
    rig.scaler.unscale_(rig.optimizer)
    report = gradcore.Guard([rig.owner], max_norm=2.5).step(rig.optimizer, scaler=rig.scaler)

    assert (report.norm, report.loss_scale) == (5.0, 1024.0)
    assert rig.owner.tolist() == [-1.5, -2.0]


def test_what_a_scaler_found_when_it_unscaled_counts():
    """The overflow was mended in between; the scaler alone would skip all the same."""
    rig = Rig().backward(math.inf, 4.0)
    rig.scaler.unscale_(rig.optimizer)
    gradcore.repair_([rig.owner])

    assert gradcore.Guard([rig.owner]).step(rig.optimizer, scaler=rig.scaler).skipped
    assert rig.found() == [1.0]


def test_a_disabled_scaler_is_none():
    rig = Rig(enabled=False).backward(3.0, 4.0)
    report = gradcore.safe_step(rig.optimizer, max_norm=2.5, scaler=rig.scaler)
    rig.scaler.update()

    assert report.loss_scale is None
    assert rig.owner.tolist() == [-1.5, -2.0]


@pytest.mark.usefixtures("path")
def test_a_scale_below_one_does_not_let_infinity_into_parameters():
    """Finite as they are, infinite when unscaled, and torch alone takes such a step."""
    rig = Rig(init_scale=0.25).backward(1.0, 1.0)
    rig.owner.grad = torch.tensor([3e38, 1.0])
    report = gradcore.Guard([rig.owner]).step(rig.optimizer, scaler=rig.scaler)

    assert report.skipped
    assert rig.owner.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("scale", [0.0, 1e-45, math.inf])
def test_a_scale_that_nothing_can_be_divided_by_is_said(scale):
    rig = Rig(init_scale=scale).backward(1.0, 1.0)

    with pytest.raises(gradcore.ScalerError, match="trace_nonfinite"):
        gradcore.Guard([rig.owner]).step(rig.optimizer, scaler=rig.scaler)
    assert rig.owner.tolist() == [0.0, 0.0]


def test_two_steps_without_an_update_are_an_error():
    rig = Rig().backward(1.0, 1.0)
    guard = gradcore.Guard([rig.owner])
    guard.step(rig.optimizer, scaler=rig.scaler)

    with pytest.raises(gradcore.ScalerError, match=r"scaler\.update\(\)"):
        guard.step(rig.optimizer, scaler=rig.scaler)
    with pytest.raises(RuntimeError, match="already been called"):
        rig.scaler.step(rig.optimizer)
    assert rig.owner.tolist() == [-1.0, -1.0]


def test_a_scaler_that_has_scaled_nothing_is_an_error():
    rig = Rig()
    rig.owner.grad = torch.ones(2)

    with pytest.raises(gradcore.ScalerError, match=r"scaler\.scale"):
        gradcore.Guard([rig.owner]).step(rig.optimizer, scaler=rig.scaler)


@pytest.mark.usefixtures("path")
def test_float16_gradients_are_refused_as_torch_refuses_them():
    owner = nn.Parameter(torch.zeros(2, dtype=torch.float16))
    optimizer, scaler = torch.optim.SGD([owner], lr=1.0), GradScaler("cpu")
    scaler.scale(torch.ones(()))
    owner.grad = torch.ones(2, dtype=torch.float16)

    with pytest.raises(ValueError, match="FP16"):
        gradcore.Guard([owner]).step(optimizer, scaler=scaler)
    assert owner.tolist() == [0.0, 0.0]


def test_what_is_no_scaler_is_said():
    rig = Rig().backward(1.0, 1.0)

    with pytest.raises(TypeError, match="float"):
        gradcore.Guard([rig.owner]).step(rig.optimizer, scaler=1024.0)


@pytest.mark.usefixtures("path")
def test_a_policy_that_stops_leaves_parameters_and_says_what_the_scale_was():
    rig = Rig().backward(math.nan, 1.0)
    guard = gradcore.Guard([rig.owner], nonfinite="raise")

    with pytest.raises(gradcore.NonfiniteGradientError, match=r"param\.0"):
        guard.step(rig.optimizer, scaler=rig.scaler)
    assert rig.owner.tolist() == [0.0, 0.0]
    assert guard.history[-1].loss_scale == 1024.0

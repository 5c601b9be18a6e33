"""Under a GradScaler a guarded step is the scaler's own step, bit for bit, plus the guard."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.amp import GradScaler

import gradcore
import mixed
import training
from gradcore import core

OPTIMIZERS = [
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"fused": True}),
    ("Adam", {"foreach": True}),
    ("Adam", {"fused": True}),
    ("AdamW", {"foreach": False, "weight_decay": 0.1}),
    ("AdamW", {"fused": True}),
    ("Adagrad", {"fused": True}),
    ("RMSprop", {}),
]


@pytest.fixture(params=mixed.PATHS)
def path(request, monkeypatch):
    mixed.take(request.param, monkeypatch)
    return request.param


@pytest.fixture
def owner():
    return nn.Parameter(torch.zeros(4))


def backward(owner, scaler, *values):
    """Gradients of these values, times the scale."""
    owner.grad = None
    scaler.scale((owner * torch.tensor(values)).sum()).backward()


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("name", "options", "dtype"),
    [(*optimizer, torch.float16) for optimizer in OPTIMIZERS] + [("Adam", {}, torch.bfloat16)],
    ids=str,
)
def test_training_is_the_same_to_the_bit_where_nothing_is_clipped(name, options, dtype):
    nets = mixed.model(), mixed.model()
    kind = getattr(torch.optim, name)
    optimizers = [kind(net.parameters(), lr=0.01, **options) for net in nets]
    guard = gradcore.Guard(optimizers[0], max_norm=1e9)

    def guarded(optimizer, scaler):
        assert guard.step(optimizer, scaler=scaler).loss_scale == scaler.get_scale()

    scales = mixed.train(guarded, nets[0], optimizers[0], dtype=dtype)
    assert scales == mixed.train(mixed.alone, nets[1], optimizers[1], dtype=dtype)
    assert training.state(nets[0], optimizers[0]) == training.state(nets[1], optimizers[1])
    assert {report.step for report in guard.history if report.skipped} >= set(mixed.FAULTS)
    assert any(not report.skipped for report in guard.history)
    assert len(set(scales)) > 4


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("factors", [(2.0, 0.5), (1.7, 0.3)], ids=str)
def test_a_scale_that_is_no_power_of_two_is_divided_by_as_the_scaler_does(factors):
    grow, shrink = factors
    options = {"init_scale": 3000.0, "growth_factor": grow, "backoff_factor": shrink}
    nets = mixed.model(), mixed.model()
    optimizers = [torch.optim.Adam(net.parameters(), lr=0.01) for net in nets]
    guard = gradcore.Guard(nets[0])

    def guarded(optimizer, scaler):
        guard.step(optimizer, scaler=scaler)

    scales = mixed.train(guarded, nets[0], optimizers[0], **options)
    assert scales == mixed.train(mixed.alone, nets[1], optimizers[1], **options)
    assert training.state(nets[0], optimizers[0]) == training.state(nets[1], optimizers[1])


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("fused", [False, True])
def test_clipped_gradients_are_those_of_exact_arithmetic(fused):
    net = mixed.model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, fused=fused)
    twin = mixed.model()
    guard = gradcore.Guard(net, max_norm=0.05)
    errors, clipped = [], 0

    def guarded(optimizer, scaler):
        nonlocal clipped
        gradients = [p.grad.double() / scaler.get_scale() for p in net.parameters()]
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
        report = guard.step(optimizer, scaler=scaler)
        if report.skipped:
            assert not math.isfinite(norm)
            return
        assert report.norm == pytest.approx(norm, rel=1e-12)
        assert report.scale == pytest.approx(min(1.0, 0.05 / norm), rel=1e-12)
        clipped += report.clipped
        for parameter, gradient in zip(net.parameters(), gradients, strict=True):
            expected = gradient * min(1.0, 0.05 / norm)
            large = expected.abs() > 1e-30
            errors.append((parameter.grad.double() / expected - 1.0)[large].abs().max().item())

    def clipping(optimizer, scaler):
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.05)
        scaler.step(optimizer)

    other = torch.optim.AdamW(twin.parameters(), lr=0.01, fused=fused)
    scales = mixed.train(guarded, net, optimizer)
    assert scales == mixed.train(clipping, twin, other)
    assert clipped > 10
    assert max(errors) <= 1.2e-7
    for one, two in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_gradients_are_read_once_and_written_once(monkeypatch, owner):
    done = []

    def noted(name):
        verb = getattr(core, name)

        def note(*arguments, **keywords):
            done.append(name)
            return verb(*arguments, **keywords)

        monkeypatch.setattr(core, name, note)

    noted("measure_table")
    noted("apply_")
    scaler = GradScaler("cpu")
    optimizer = torch.optim.SGD([owner], lr=1.0)
    guard = gradcore.Guard([owner], max_norm=2.5)
    backward(owner, scaler, 3.0, 4.0, 0.0, 0.0)
    with torch.profiler.profile() as profile:
        guard.step(optimizer, scaler=scaler)

    assert done == ["measure_table", "apply_"]
    assert not [event.key for event in profile.key_averages() if "_amp_" in event.key]
    assert owner.tolist() == [-1.5, -2.0, 0.0, 0.0]


@pytest.mark.usefixtures("path")
def test_everything_a_report_tells_is_of_unscaled_gradients(owner):
    scaler = GradScaler("cpu", init_scale=256.0)
    optimizer = torch.optim.SGD([owner], lr=1.0)
    needs = ("max_abs", "sum", "l1", "zeros", "lp")
    guard = gradcore.Guard([owner], needs=needs)
    backward(owner, scaler, 3.0, -4.0, 0.0, 0.0)
    report = guard.step(optimizer, scaler=scaler)

    (row,) = report.parameters
    assert (report.norm, report.clipped_norm, report.scale) == (5.0, 5.0, 1.0)
    assert (row.norm, row.max_abs, row.mean) == (5.0, 4.0, -0.25)
    assert row.std == pytest.approx(math.sqrt(25 / 4 - 1 / 16))
    assert not report.clipped
    assert report.loss_scale == 256.0
    assert report.to_dict()["loss_scale"] == 256.0


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"clip": ("value", {"limit": 2.0})}, [2.0, -2.0, 1.0, 0.0]),
        ({"clip": ("per_parameter_norm", {"max_norm": 2.5})}, [1.4708, -1.9611, 0.4903, 0.0]),
        ({"clip": ("global_norm", {"max_norm": 4.0, "norm_type": 1.0})}, [1.5, -2.0, 0.5, 0.0]),
        ({"nonfinite": ("zero", {"overflow": 3.5})}, [3.0, 0.0, 1.0, 0.0]),
        ({"nonfinite": ("zero", {"overflow": 3.5}), "max_norm": 1.0}, [0.9487, 0.0, 0.3162, 0.0]),
        (
            {"nonfinite": ("replace", {"posinf": 0.1, "neginf": -0.1, "overflow": 3.5})},
            [3.0, -0.1, 1.0, 0.0],
        ),
    ],
    ids=str,
)
def test_bounds_thresholds_and_replacements_are_of_unscaled_gradients(owner, options, expected):
    scaler = GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.SGD([owner], lr=1.0)
    backward(owner, scaler, 3.0, -4.0, 1.0, 0.0)
    report = gradcore.Guard([owner], **options).step(optimizer, scaler=scaler)

    assert owner.grad.tolist() == pytest.approx(expected, rel=1e-4)
    assert owner.tolist() == [-value for value in owner.grad.tolist()]
    assert report.clipped_norm == pytest.approx(owner.grad.double().norm().item(), rel=1e-6)
    assert not report.skipped
    scaler.update()
    assert scaler.get_scale() == 1024.0  # nothing overflowed that a scale could help


@pytest.mark.usefixtures("path")
def test_units_are_clipped_by_their_unscaled_norms():
    class Halve:
        name = "halve"
        needs = ("unit_l2",)

        def __call__(self, statistics):
            assert statistics.unit_l2.tolist() == [5.0, 1.0]
            return gradcore.ScaleUnits(torch.where(statistics.unit_l2 > 2.0, 0.5, 1.0))

    weight = nn.Parameter(torch.zeros(2, 2))
    scaler = GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler.scale((weight * torch.tensor([[3.0, 4.0], [0.0, 1.0]])).sum()).backward()
    report = gradcore.Guard([weight], clip=Halve()).step(optimizer, scaler=scaler)

    assert weight.grad.tolist() == [[1.5, 2.0], [0.0, 1.0]]
    assert report.clipped_norm == pytest.approx(math.sqrt(2.5**2 + 1.0))

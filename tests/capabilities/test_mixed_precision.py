"""Mixed precision folded into the guard's own pass: row F7 of what gradcore must be able to do."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.amp import GradScaler
from torch.utils._python_dispatch import TorchDispatchMode

import gradcore
import mixed
import training


class Noted(TorchDispatchMode):
    """Names of all operators of torch that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def run(step, faults=mixed.FAULTS, **options):
    """Train a small network in float16: scales, and every bit of what came out."""
    net = mixed.model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, **options)
    scales = mixed.train(lambda o, s: step(net, o, s), net, optimizer, faults=faults)
    return scales, training.state(net, optimizer)


@pytest.mark.parametrize("fused", [False, True])
def test_f7_skips_growth_backoff_and_parameters_are_those_of_the_scaler_alone(fused):
    reports = []

    def guarded(net, optimizer, scaler):
        reports.append(gradcore.safe_step(optimizer, max_norm=1e6, scaler=scaler))

    assert run(guarded, fused=fused) == run(lambda _, o, s: mixed.alone(o, s), fused=fused)
    scales = [report.loss_scale for report in reports]
    assert any(later < scale for scale, later in pairwise(scales))
    assert any(later > scale for scale, later in pairwise(scales))


def test_f7_no_pass_of_the_scaler_touches_the_gradients():
    net = mixed.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler, guard = GradScaler("cpu"), gradcore.Guard(net, max_norm=1e-3)
    scaler.scale(mixed.loss(net, 0)).backward()
    norm = torch.cat([p.grad.double().flatten() for p in net.parameters()]).norm().item() / 65536
    with Noted() as alone:
        scaler.scale(torch.zeros(()))
    with Noted() as noted:
        report = guard.step(optimizer, scaler=scaler)

    assert "aten.mul.Tensor" in alone.names
    assert not [name for name in noted.names if "_amp_" in name]
    assert report.clipped
    assert report.norm == pytest.approx(norm, rel=1e-12)
    left = torch.cat([p.grad.double().flatten() for p in net.parameters()]).norm().item()
    assert left == pytest.approx(1e-3, rel=1e-6)


def test_f7_a_repaired_overflow_is_a_step_and_lowers_the_scale():
    net = mixed.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = GradScaler("cpu", init_scale=64.0)
    guard = gradcore.Guard(net, nonfinite="zero")
    scaler.scale(mixed.loss(net, 0)).backward()
    mixed.plant(net, math.inf)
    before = training.freeze(list(net.parameters()))
    report = guard.step(optimizer, scaler=scaler)
    scaler.update()

    assert (report.skipped, report.repaired, report.loss_scale) == (False, 1, 64.0)
    assert training.freeze(list(net.parameters())) != before
    assert training.finite(net)
    assert scaler.get_scale() == 32.0


def test_f7_a_loss_scale_that_collapses_is_said():
    """A layer whose gradient overflows float16 whatever it is multiplied by."""

    class Steep(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 4))

        def forward(self, x):
            return 1e30 * nn.functional.linear(x, self.weight).float()

    net = Steep()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = GradScaler("cpu")
    guard = gradcore.Guard(net, checks=["loss_scale"])
    for _ in range(20):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            output = net(torch.ones(2, 4))
        scaler.scale(output.sum()).backward()
        guard.step(optimizer, scaler=scaler)
        scaler.update()

    said = [f.severity for report in guard.history for f in report.findings]
    assert said == ["warning", "critical"]
    assert guard.history[-1].loss_scale == 65536 / 2**19

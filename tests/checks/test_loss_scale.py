"""A loss scale that collapses, or is of no help any more, is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import gradcore
from gradcore.checks import LossScale


def train(factor, steps, check):
    """A real scaler and a gradient of ``factor``: what is said, and the scale of each step."""
    owner = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([owner], lr=0.0)
    scaler = torch.amp.GradScaler("cpu")
    guard = gradcore.Guard([owner], max_consecutive=None, checks=[check])
    said, scales = [], []
    for step in range(steps):
        optimizer.zero_grad()
        scales.append(scaler.get_scale())
        scaler.scale((owner * factor).sum()).backward()
        report = guard.step(optimizer, scaler=scaler)
        said += [(step, finding) for finding in report.findings]
        scaler.update()
    return said, scales


def test_a_scale_that_falls_a_thousandfold_is_a_warning():
    """Gradients of 1e37 fit float32 with a scale of 32 and less."""
    said, scales = train(1e37, 20, LossScale())

    fallen = next(step for step, scale in enumerate(scales) if scale <= 65536.0 / 1024.0)
    assert min(scales) == 32.0
    assert [(step, finding.severity) for step, finding in said] == [(fallen, "warning")]
    assert said[0][1].values == {"scale": 64.0, "highest": 65536.0}
    assert "65536" in said[0][1].message.replace("6.554e+04", "65536")


def test_gradients_that_overflow_by_themselves_take_it_to_its_floor():
    said, scales = train(float("inf"), 40, LossScale(again=10))

    floor = next(step for step, scale in enumerate(scales) if scale <= 1.0)
    assert [(step, finding.severity) for step, finding in said] == [
        (10, "warning"),
        (floor, "critical"),
        (floor + 10, "critical"),
        (floor + 20, "critical"),
    ]
    assert "float32" in said[1][1].recommendation


def test_the_halvings_in_which_a_scaler_finds_its_scale_are_no_alarm():
    said, scales = train(1e35, 30, LossScale())

    assert min(scales) == 2048.0
    assert said == []


def test_a_scale_of_one_that_does_its_work_is_no_alarm():
    """One that was set so, and never overflows."""
    report = gradcore.Guard([nn.Parameter(torch.ones(1))]).apply()

    history = gradcore.History(10)
    assert list(LossScale()(replace(report, loss_scale=1.0), history)) == []
    assert list(LossScale()(report, history)) == []


@pytest.mark.parametrize(
    "options", [{"floor": 0.0}, {"fall": -1.0}, {"window": 101}, {"again": 0}], ids=str
)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        LossScale(**options)

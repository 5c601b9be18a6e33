"""Several non-finite steps in a row are a streak, and parameters that hold NaN are the end."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import findings
import gradcore
from gradcore.checks import NonfiniteStreak


class Logarithm(nn.Module):
    """Of numbers that may be negative: a real source of NaN."""

    def forward(self, inputs):
        return inputs.log()


def test_a_model_that_takes_logarithms_of_negative_numbers_is_warned_of_and_then_critical():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), Logarithm(), nn.Linear(8, 1))

    check = NonfiniteStreak(again=15)
    run = findings.train(net, findings.regression(net), 40, check, max_consecutive=None)
    assert all(not math.isfinite(norms["0.weight"]) for norms in run.norms)
    assert run.steps == [(4, "warning"), (19, "critical"), (34, "critical")]
    _, finding = run.found[0]
    assert finding.values == {"length": 5.0, "elements": run.reports[4].nonfinite.total}
    assert finding.parameters == (run.reports[4].first_nonfinite,)
    assert "trace_nonfinite" in finding.recommendation


def test_single_ones_are_not_a_streak():
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(
        net,
        lambda step: loss_of(step) * (1.0 if step % 5 == 4 else math.nan),
        50,
        NonfiniteStreak(),
    )
    assert sum(report.skipped for report in run.reports) == 40
    assert run.found == []


def test_a_loss_that_is_not_finite_counts_too():
    owner = nn.Parameter(torch.ones(2))
    guard = gradcore.Guard([owner], checks=NonfiniteStreak(steps=3))

    reports = []
    for _ in range(4):
        owner.grad = torch.ones(2)
        reports.append(guard.apply(loss=math.inf))
    assert [len(report.findings) for report in reports] == [0, 0, 1, 0]
    assert reports[2].findings[0].values == {"length": 3.0, "elements": 0.0}
    assert "the loss" in reports[2].findings[0].message


def test_parameters_that_hold_nan_are_critical_from_the_first_step():
    net = findings.network()
    with torch.no_grad():
        net[0].weight[0, :3] = math.nan

    run = findings.train(
        net,
        findings.regression(net),
        12,
        NonfiniteStreak(again=10),
        needs="parameter_l2",
    )
    named = [(step, f.severity) for step, f in run.found if "parameter_elements" in f.values]
    assert named == [(0, "critical"), (10, "critical")]
    assert run.found[0][1].values == {"parameter_elements": 3.0}


def test_parameters_that_hold_nan_do_not_silence_a_streak():
    net = findings.network()
    with torch.no_grad():
        net[0].weight[0, 0] = math.nan

    check = NonfiniteStreak(steps=2, critical=4)
    run = findings.train(net, findings.regression(net), 6, check, needs="parameter_l2")
    assert run.steps == [(0, "critical"), (1, "warning"), (3, "critical")]
    assert run.found[2][1].values["length"] == 4.0


@pytest.mark.parametrize("options", [{"steps": 0}, {"critical": 2}, {"again": 1.5}], ids=str)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        NonfiniteStreak(**options)

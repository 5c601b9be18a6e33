"""Gradient manager: rows B1, B2 and B4 of what gradcore must be able to do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gradcore
import training


def test_b1_one_object_configures_everything():
    net = training.model()
    sink = training.Seen()
    guard = gradcore.Guard(
        net,
        max_norm=0.5,
        nonfinite=("replace", {"nan": 0.0, "posinf": 1e6, "neginf": -1e6}),
        sinks=[sink],
        history=10,
        every=2,
        max_consecutive=4,
        needs=("max_abs",),
    )
    for seed in range(4):
        training.backward(net, seed)
        guard.apply()

    assert len(guard.history) == len(sink.reports) == 2
    assert all(report.clipped_norm <= 0.5 * (1 + 1e-12) for report in sink.reports)
    assert all(row.max_abs is not None for row in sink.reports[0].parameters)


@pytest.mark.parametrize(
    "options",
    [
        {"max_norm": -1.0},
        {"max_norm": 0.0},
        {"nonfinite": ("replace", {"nan": math.nan})},
        {"clip": ("value", {"limit": -1.0})},
        {"every": -3},
        {"max_consecutive": 2.5},
        {"needs": ("median",)},
    ],
    ids=str,
)
def test_b1_configuration_is_validated_where_it_is_made(options):
    with pytest.raises(ValueError, match="must"):
        gradcore.Guard(training.model(), **options)


def test_b2_one_step_runs_backward_checks_repairs_clips_and_reports():
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = gradcore.Guard(net, nonfinite="zero", max_norm=0.01)
    first = torch.tensor([0])
    net[2].weight.register_hook(lambda gradient: gradient.index_fill(1, first, math.nan))
    loss = net(torch.ones(3, 4)).square().sum()

    report = gradcore.safe_backward(loss, guard)
    optimizer.step()
    assert report.loss == pytest.approx(loss.item())
    assert not report.healthy
    assert (report.nonfinite.nan, report.repaired) == (2, 2)
    assert report.clipped
    assert report.clipped_norm == pytest.approx(0.01, rel=1e-12)
    assert report.first_nonfinite == "2.weight"
    assert len(guard.history) == 1
    assert training.finite(net)


def test_b2_the_same_in_one_call_with_the_step():
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loss = training.backward(net)
    training.plant(net[0].weight, math.inf)

    report = gradcore.safe_step(optimizer, loss=loss, nonfinite="zero", max_norm=0.01)
    assert (report.loss, report.repaired) == (pytest.approx(loss.item()), 1)
    assert training.finite(net)


def test_b4_values_are_chosen_for_gradients():
    owner = nn.Parameter(torch.zeros(4))
    owner.grad = torch.tensor([math.nan, math.inf, -math.inf, 0.5])

    counts = gradcore.repair_([owner], nan=0.0, posinf=1e6, neginf=-1e6)
    assert owner.grad.tolist() == [0.0, 1e6, -1e6, 0.5]
    assert (counts.nan, counts.posinf, counts.neginf, counts.total) == (1, 1, 1, 3)


def test_b4_values_are_chosen_by_the_policy():
    owner = nn.Parameter(torch.zeros(4))
    owner.grad = torch.tensor([math.nan, math.inf, -math.inf, 0.5])

    values = {"nan": 0.0, "posinf": 1e6, "neginf": -1e6}
    report = gradcore.Guard([owner], nonfinite=("replace", values)).apply()
    assert owner.grad.tolist() == [0.0, 1e6, -1e6, 0.5]
    assert (report.repaired, report.nonfinite.total) == (3, 3)


def test_b4_values_are_chosen_for_parameters():
    net = training.model()
    with torch.no_grad():
        net[0].weight[0, :2] = math.nan
        net[0].bias[1] = math.inf

    counts = gradcore.repair_parameters_(net, nan=0.0, posinf=1e6, neginf=-1e6)
    assert (counts.nan, counts.posinf, counts.neginf) == (2, 1, 0)
    assert net[0].weight[0, :2].tolist() == [0.0, 0.0]
    assert net[0].bias[1].item() == 1e6

"""Gradient manager: rows B5 and B6 of what gradcore must be able to do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import findings
import gradcore


def found(run):
    """Names of the checks that found something, with the first step on which each did."""
    first = {}
    for step, finding in run.found:
        first.setdefault(finding.check, step)
    return first


def test_b5_a_sudden_growth_is_an_explosion_with_a_recommendation():
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(
        net, lambda step: loss_of(step) * (1e4 if step == 25 else 1), 26, "default"
    )
    assert run.joint[25] > 1000 * max(run.joint[:25])
    assert found(run) == {"explosion": 25, "spike": 25}
    assert not run.reports[25].healthy
    (advice,) = [f.recommendation for f in run.reports[25].findings if f.check == "explosion"]
    assert "learning rate" in advice
    assert advice in run.reports[25].summary().replace("\n       ", " ")


def test_b5_gradients_that_vanish_are_found_with_the_layers_and_a_recommendation():
    net = findings.network(nn.Sigmoid, depth=14)

    run = findings.train(net, findings.regression(net), 5, "default")
    assert found(run) == {"vanishing": 2}
    (finding,) = run.reports[2].findings
    assert "0.weight" in finding.parameters
    assert "28.weight" not in finding.parameters
    assert "residual connections" in finding.recommendation


def test_b5_a_model_that_makes_nan_is_found():
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(net, lambda step: loss_of(step).sub(1e3).sqrt(), 8, "default")
    assert all(report.nonfinite.nan > 0 for report in run.reports)
    assert not any(report.healthy for report in run.reports)
    assert found(run) == {"nonfinite_streak": 4}


def test_b5_unusual_patterns_are_found():
    """Units that never open, one step among many, layers far apart."""
    net = findings.network(nn.ReLU)
    with torch.no_grad():
        net[2].bias.fill_(-100.0)
    assert found(findings.train(net, findings.regression(net), 12, "default")) == {"dead": 9}

    net = findings.network()
    loss_of = findings.regression(net)
    run = findings.train(net, lambda step: loss_of(step) * (9 if step == 30 else 1), 35, "default")
    assert found(run) == {"spike": 30}

    net = findings.network(depth=6)
    for layer in net[::2]:
        layer.weight.data.mul_(0.1)
    run = findings.train(net, findings.regression(net), 12, ["imbalance"], lr=1e-4)
    assert found(run) == {"imbalance": 9}


def test_b5_a_healthy_run_is_said_to_be_healthy():
    net = findings.network()

    run = findings.train(net, findings.regression(net), 60, "default", max_norm=1.0)
    assert found(run) == {}
    assert all(report.healthy for report in run.reports)


def test_b6_the_statistics_of_a_step():
    """Against numpy, over all gradients and each."""
    net = findings.network()
    findings.regression(net)(0).backward()
    net[0].weight.grad[0, :3] = torch.tensor([math.nan, math.inf, -math.inf])
    arrays = {n: p.grad.double().numpy().copy() for n, p in net.named_parameters()}

    report = gradcore.Guard(net, needs="all").apply()
    good = {name: array[np.isfinite(array)] for name, array in arrays.items()}
    together = np.concatenate([array.ravel() for array in good.values()])
    assert report.norm == pytest.approx(np.linalg.norm(together), rel=1e-9)
    counts = report.nonfinite
    assert (counts.nan, counts.posinf, counts.neginf, counts.total) == (1, 1, 1, 3)
    for row in report.parameters:
        assert row.norm == pytest.approx(np.linalg.norm(good[row.name]), rel=1e-9)
        assert row.mean == pytest.approx(good[row.name].mean(), rel=1e-6, abs=1e-12)
        assert row.std == pytest.approx(good[row.name].std(), rel=1e-6)
        assert row.max_abs == np.abs(good[row.name]).max()
    norms = [np.linalg.norm(array) for array in good.values()]
    assert min(row.norm for row in report.parameters) == pytest.approx(min(norms), rel=1e-9)
    assert max(row.norm for row in report.parameters) == pytest.approx(max(norms), rel=1e-9)


def test_b6_the_statistics_of_a_run():
    net = findings.network()
    loss_of = findings.regression(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    guard = gradcore.Guard(net, nonfinite="zero", checks="default", max_norm=1e3)
    norms = []
    for step in range(40):
        optimizer.zero_grad()
        (loss_of(step) * (1e4 if step == 30 else 1.0)).backward()
        if step in {5, 6}:
            net[2].bias.grad[:2] = math.nan
        else:
            norms.append(math.hypot(*(findings.norm_of(p.grad) for p in net.parameters())))
        guard.step(optimizer)

    summary = guard.history.summary()
    assert summary["steps"] == 40
    assert summary["mean_norm"] == pytest.approx(np.mean(norms), rel=1e-6)
    assert summary["std_norm"] == pytest.approx(np.std(norms), rel=1e-6)
    assert summary["max_norm"] == pytest.approx(max(norms), rel=1e-6)
    assert summary["repaired_elements"] == 4
    assert summary["unhealthy_steps"] == 3
    assert summary["nonfinite_rate"] == 2 / 40

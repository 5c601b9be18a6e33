"""Updates that are too large or too small for the weights they change are said."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import findings
import gradcore
from gradcore.checks import UpdateRatio


def train(net, loss_of, steps, check, *, lr, **options):
    """Plain SGD; the reports, and the ratio of each layer at each step by torch."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    guard = gradcore.Guard(net, checks=check, **options)
    ratios = []
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(step).backward()
        before = {name: p.detach().double().clone() for name, p in net.named_parameters()}
        guard.step(optimizer)
        changes = {n: findings.norm_of(p.double() - before[n]) for n, p in net.named_parameters()}
        layers = {name.rpartition(".")[0] for name in before}
        ratios.append(
            {
                layer: math.hypot(changes[f"{layer}.weight"], changes[f"{layer}.bias"])
                / math.hypot(
                    *(findings.norm_of(before[f"{layer}.{n}"]) for n in ("weight", "bias"))
                )
                for layer in layers
            }
        )
    return list(guard.history), ratios


def usual_run():
    """A network, a loss and so many steps."""
    net = findings.network()
    return net, findings.regression(net), 20


def found(reports):
    return [(report.step, finding) for report in reports for finding in report.findings]


def test_a_learning_rate_far_too_large_moves_a_layer_by_more_than_a_tenth_each_step():
    """The slope of an absolute error does not depend on its size: nothing diverges, or settles."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 1))
    inputs, target = torch.randn(32, 4), torch.randn(32, 1)

    reports, ratios = train(
        net, lambda step: (net(inputs) - target).abs().mean(), 25, UpdateRatio(), lr=10.0
    )
    large = [layer for layer in ratios[0] if all(each[layer] > 0.1 for each in ratios[:20])]
    assert large
    step, finding = found(reports)[0]
    assert (step, finding.severity) == (19, "warning")
    assert {name.rpartition(".")[0] for name in finding.parameters} == set(large)
    largest = max(ratios[19][layer] for layer in large)
    assert finding.values["largest"] == pytest.approx(largest, rel=1e-4)
    assert finding.values["usual"] == 1e-3
    assert "learning rate" in finding.recommendation


def test_a_learning_rate_far_too_small_is_mentioned():
    net = findings.network()

    reports, ratios = train(
        net, findings.regression(net), 25, UpdateRatio(low=1e-7), lr=torch.tensor(1e-9)
    )
    step, finding = found(reports)[0]
    assert (step, finding.severity) == (19, "info")
    assert finding.values["largest"] < 1e-7
    assert len(found(reports)) == 1
    assert max(ratios[19].values()) < 1e-7


def test_the_usual_ratio_is_no_finding():
    net = findings.network()

    reports, ratios = train(net, findings.regression(net), 40, UpdateRatio(), lr=0.01)
    assert all(1e-7 < max(each.values()) < 0.1 for each in ratios)
    assert found(reports) == []


def test_the_limits_are_the_ones_given():
    """Twenty steps of the same run, and limits just beyond and just within its ratios."""
    layers, ratios = ("0", "2", "4"), train(*usual_run(), UpdateRatio(), lr=0.01)[1]
    least = {layer: min(each[layer] for each in ratios) for layer in layers}
    most_of_step = [max(each.values()) for each in ratios]
    fastest = max(least, key=least.get)

    def said(**limits):
        run = found(train(*usual_run(), UpdateRatio(**limits), lr=0.01)[0])
        return [(step, finding.severity, finding.parameters) for step, finding in run]

    of_fastest = (f"{fastest}.weight", f"{fastest}.bias")
    assert said(high=0.95 * least[fastest]) == [(19, "warning", of_fastest)]
    assert said(high=1.05 * least[fastest]) == []
    assert said(low=1.05 * max(most_of_step)) == [(19, "info", ())]
    assert said(low=0.95 * max(most_of_step)) == []


def test_it_is_about_the_gradient_after_clipping():
    net = findings.network()
    loss_of = findings.regression(net)

    def much(step):
        return 1e4 * loss_of(step)

    assert found(train(net, much, 25, UpdateRatio(), lr=0.1, max_norm=1e-2)[0]) == []


def test_a_layer_that_begins_at_zero_is_no_alarm():
    net = findings.network()
    nn.init.zeros_(net[4].weight)
    nn.init.zeros_(net[4].bias)

    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    guard = gradcore.Guard(net, checks=UpdateRatio())
    loss_of = findings.regression(net)
    for step in range(40):
        optimizer.zero_grad()
        loss_of(step).backward()
        guard.step(optimizer)
    first = guard.history[0].parameters[4]
    assert first.parameter_norm == 0.0
    assert first.norm > 0.0
    assert found(guard.history) == []


def test_nothing_is_said_where_nobody_knows_the_learning_rate_or_no_step_was_taken():
    net = findings.network()
    loss_of = findings.regression(net)
    check = UpdateRatio(high=1e-12, steps=1)
    guard = gradcore.Guard(net, checks=check)
    loss_of(0).backward()
    assert guard.apply().findings == ()

    reports, _ = train(net, lambda step: math.nan * loss_of(step), 3, check, lr=0.1)
    assert [report.skipped for report in reports] == [True] * 3
    assert found(reports) == []


@pytest.mark.parametrize(
    "options", [{"high": 0.0}, {"low": -1.0}, {"steps": 0}, {"again": 0}], ids=str
)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        UpdateRatio(**options)

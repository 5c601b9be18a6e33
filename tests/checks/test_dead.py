"""A gradient of nothing but zeros, step after step, is dead."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import findings
from gradcore.checks import Dead


def dead_relu():
    """A network whose second ReLU never opens, so that nothing before it learns."""
    net = findings.network(nn.ReLU, depth=2)
    with torch.no_grad():
        net[2].bias.fill_(-100.0)
    return net


def test_a_relu_that_never_opens_kills_all_before_it():
    net = dead_relu()

    run = findings.train(net, findings.regression(net), 15, Dead())
    dead = [name for name, norm in run.norms[9].items() if norm == 0.0]
    assert {"0.weight", "0.bias", "2.weight", "2.bias"} <= set(dead)
    assert "4.bias" not in dead
    assert run.steps == [(9, "warning")]
    _, finding = run.found[0]
    assert finding.parameters == tuple(dead)
    assert finding.values == {"parameters": len(dead), "steps": 10.0}
    assert "ReLU" in finding.recommendation
    assert not run.reports[9].healthy


def test_it_is_said_again_after_a_while_and_not_before():
    net = dead_relu()

    run = findings.train(net, findings.regression(net), 35, Dead(again=10))
    assert [step for step, _ in run.steps] == [9, 19, 29]


def test_all_parameters_dead_are_critical():
    """Those that have a gradient at all."""
    net = findings.network()
    net[2].requires_grad_(requires_grad=False)
    loss_of = findings.regression(net)

    run = findings.train(net, lambda step: 0.0 * loss_of(step), 12, Dead())
    assert run.steps == [(9, "critical")]
    assert run.found[0][1].parameters == ("0.weight", "0.bias", "4.weight", "4.bias")


def test_what_is_behind_a_layer_that_begins_at_zero_is_alive():
    """Its gradient is zero in the first step alone."""
    net = findings.network()
    nn.init.zeros_(net[4].weight)

    run = findings.train(net, findings.regression(net), 15, Dead())
    assert run.norms[0]["0.weight"] == 0.0
    assert run.norms[1]["0.weight"] > 0.0
    assert run.found == []


def test_one_living_step_begins_the_count_anew():
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(net, lambda step: loss_of(step) * (step in {0, 9}), 20, Dead())
    assert run.steps == [(19, "critical")]


def test_a_gradient_with_nan_among_zeros_is_not_dead():
    net = findings.network()
    loss_of = findings.regression(net)
    net[0].bias.register_hook(
        lambda gradient: torch.zeros_like(gradient).index_fill(0, first, float("nan"))
    )
    first = torch.tensor([0])

    run = findings.train(net, loss_of, 12, Dead(steps=3), nonfinite="zero")
    assert run.reports[-1].repaired == 1
    assert run.found == []


def test_a_gradient_without_elements_is_not_dead():
    net = findings.network()
    net.register_parameter("none", nn.Parameter(torch.zeros(0)))
    loss_of = findings.regression(net)

    run = findings.train(net, lambda step: loss_of(step) + net.none.sum(), 5, Dead(steps=2))
    assert run.norms[4]["none"] == 0.0
    assert run.found == []


@pytest.mark.parametrize("options", [{"steps": 0}, {"again": 1000}], ids=str)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Dead(**options)

"""A layer whose gradient is next to nothing for some steps is said, with its numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import findings
from gradcore.checks import Vanishing


def layer_norms(norms):
    """Norm of each layer from those of weight and bias."""
    layers = {name.rpartition(".")[0] for name in norms}
    return {layer: math.hypot(norms[f"{layer}.weight"], norms[f"{layer}.bias"]) for layer in layers}


def test_the_first_layers_of_a_deep_sigmoid_network_vanish():
    """Each sigmoid takes at least three quarters of the gradient away."""
    net = findings.network(nn.Sigmoid, depth=14)

    run = findings.train(net, findings.regression(net), 6, Vanishing())
    assert run.steps == [(2, "warning")]
    first, second, third = (layer_norms(norms) for norms in run.norms[:3])
    small = {
        layer: norm
        for layer, norm in third.items()
        if max(norm, first[layer], second[layer]) < 1e-7
    }
    assert 0 < len(small) < 15
    _, finding = run.found[0]
    assert {name.rpartition(".")[0] for name in finding.parameters} == set(small)
    assert finding.values == pytest.approx(
        {"layers": len(small), "smallest": min(small.values()), "below": 1e-7}, rel=1e-6
    )
    assert f"{len(small)} layers" in finding.message
    assert "residual" in finding.recommendation


def test_it_is_critical_where_nothing_is_left_at_all():
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(net, lambda step: 1e-12 * loss_of(step), 5, Vanishing())
    assert run.steps == [(2, "critical")]
    assert len(run.found[0][1].parameters) == 6


def test_a_bias_before_a_normalisation_is_no_alarm():
    """Its gradient is zero but for rounding, whatever the model does."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))

    loss_of = findings.regression(net)
    run = findings.train(net, lambda step: 0.1 * loss_of(step), 10, Vanishing())
    assert max(norms["0.bias"] for norms in run.norms) < 1e-7
    assert run.found == []


def test_an_exact_zero_is_not_its_affair():
    net = findings.network()
    loss_of = findings.regression(net)

    assert findings.train(net, lambda step: 0.0 * loss_of(step), 5, Vanishing()).found == []


def test_one_small_step_between_others_is_not_said():
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(
        net, lambda step: loss_of(step) * (1e-12 if step % 3 else 1), 9, Vanishing()
    )
    assert run.found == []


def test_a_layer_that_joins_later_is_said_when_it_does():
    """The first layer from the start, the second from step 5 on."""
    net = findings.network()
    loss_of = findings.regression(net)
    scale = {0: 1e-12, 2: 1.0}
    for layer in (0, 2):
        for parameter in net[layer].parameters():
            parameter.register_hook(lambda gradient, layer=layer: gradient * scale[layer])

    def planted(step):
        scale[2] = 1e-12 if step >= 5 else 1.0
        return loss_of(step)

    run = findings.train(net, planted, 12, Vanishing(steps=2, again=9))
    assert [(step, finding.parameters) for step, finding in run.found] == [
        (1, ("0.weight", "0.bias")),
        (6, ("2.weight", "2.bias")),
        (10, ("0.weight", "0.bias")),
    ]


def test_layers_without_a_gradient_do_not_keep_it_from_being_critical():
    net = findings.network()
    net[2].requires_grad_(requires_grad=False)
    loss_of = findings.regression(net)

    run = findings.train(net, lambda step: 1e-12 * loss_of(step), 4, Vanishing())
    assert run.steps == [(2, "critical")]


@pytest.mark.parametrize("options", [{"below": -1.0}, {"steps": 101}, {"again": 0}], ids=str)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Vanishing(**options)

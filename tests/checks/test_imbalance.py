"""Layers whose gradients are orders of magnitude apart are said, with the two that are furthest."""

from __future__ import annotations

import math

import pytest

import findings
from gradcore.checks import Imbalance


def root_mean_squares(net, norms):
    """Of the gradient of each layer, from those of weight and bias."""
    sizes = {name: tensor.numel() for name, tensor in net.named_parameters()}
    layers = {name.rpartition(".")[0] for name in norms}
    return {
        layer: math.hypot(norms[f"{layer}.weight"], norms[f"{layer}.bias"])
        / math.sqrt(sizes[f"{layer}.weight"] + sizes[f"{layer}.bias"])
        for layer in layers
    }


def small_weights(depth):
    """A deep network of weights a tenth of what they should be: gradients shrink layer by layer."""
    net = findings.network(depth=depth)
    for layer in net[::2]:
        layer.weight.data.mul_(0.1)
    return net


def test_weights_that_are_too_small_for_the_depth_are_said():
    net = small_weights(6)

    run = findings.train(net, findings.regression(net), 12, Imbalance(), lr=1e-4)
    assert run.steps == [(9, "warning")]
    means = root_mean_squares(net, run.norms[9])
    large, small = max(means, key=means.get), min(means, key=means.get)
    _, finding = run.found[0]
    assert finding.parameters == (
        f"{large}.weight", f"{large}.bias", f"{small}.weight", f"{small}.bias"
    )  # fmt: skip
    assert finding.values == pytest.approx(
        {
            "ratio": means[large] / means[small],
            "largest": means[large],
            "smallest": means[small],
        },
        rel=1e-6,
    )
    assert f"{large!r}" in finding.message
    assert f"{small!r}" in finding.message


def test_it_is_said_again_after_a_while_and_not_before():
    net = small_weights(6)

    run = findings.train(net, findings.regression(net), 25, Imbalance(again=10), lr=1e-4)
    assert [step for step, _ in run.steps] == [9, 19]


def test_a_well_made_network_of_the_same_depth_is_balanced():
    net = findings.network(depth=6)

    assert findings.train(net, findings.regression(net), 30, Imbalance()).found == []


def test_layers_without_any_gradient_are_left_out():
    net = findings.network()
    net[2].requires_grad_(requires_grad=False)
    for parameter in net[0].parameters():
        parameter.register_hook(lambda gradient: 0.0 * gradient)

    run = findings.train(net, findings.regression(net), 15, Imbalance(ratio=1.5, steps=1))
    assert run.norms[0]["2.weight"] is None
    assert run.norms[0]["0.weight"] == 0.0
    assert run.found == []


@pytest.mark.parametrize("options", [{"ratio": 0.0}, {"steps": 0}, {"again": 0}], ids=str)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Imbalance(**options)

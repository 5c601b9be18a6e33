"""Parameters are put together to the modules that hold them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import gradcore
from gradcore.checks.layers import gradient_norms, layer_of, layers_of


@pytest.mark.parametrize(
    ("parameter", "layer"),
    [
        ("blocks.0.mlp.weight", "blocks.0.mlp"),
        ("0.bias", "0"),
        ("position", "position"),
        ("param.3", "param.3"),
        ("scales.12", "scales.12"),
        ("attention.in_proj_weight", "attention"),
    ],
)
def test_a_layer_is_the_module_that_holds_the_parameter(parameter, layer):
    assert layer_of(parameter) == layer


def test_every_parameter_of_a_transformer_is_in_the_layer_of_its_module():
    net = nn.TransformerEncoderLayer(8, 2, 16)
    names = tuple(name for name, _ in net.named_parameters())

    layers = layers_of(names)
    expected = [name for name, module in net.named_modules() if [*module.parameters(recurse=False)]]
    assert sorted(layers.names) == sorted(expected)
    for layer, members in zip(layers.names, layers.members, strict=True):
        module = net.get_submodule(layer)
        held = {f"{layer}.{name}" for name, _ in module.named_parameters(recurse=False)}
        assert set(members) == held


def test_parameters_of_a_module_need_not_stand_together():
    layers = layers_of(("a.weight", "b.weight", "a.bias"))

    assert layers.names == ("a", "b")
    assert layers.sums(np.array([1.0, 10.0, 100.0])).tolist() == [101.0, 10.0]
    assert layers.norms(np.array([3.0, 7.0, 4.0])).tolist() == [5.0, 7.0]


def test_norms_far_beyond_the_squares_that_a_float_can_hold():
    layers = layers_of(("a.weight", "a.bias", "b.weight", "b.bias"))

    got = layers.norms(np.array([3e300, 4e300, 3e-300, 4e-300]))
    assert got.tolist() == pytest.approx([5e300, 5e-300], rel=1e-12)


def test_a_layer_of_which_nothing_is_known_has_no_norm():
    """One without gradients, one of which some is not finite, one with a gradient of a part."""
    net = nn.ModuleDict({name: nn.Linear(2, 1) for name in ("none", "bad", "part", "zero")})
    net["bad"].weight.grad = torch.tensor([[math.nan, 1.0]])
    net["bad"].bias.grad = torch.ones(1)
    net["part"].weight.grad = torch.tensor([[3.0, 4.0]])
    net["zero"].weight.grad = torch.zeros(1, 2)

    layers, norms = gradient_norms(gradcore.Guard(net).apply().parameters)
    got = dict(zip(layers.names, norms.tolist(), strict=True))
    assert got == pytest.approx(
        {"none": math.nan, "bad": math.nan, "part": 5.0, "zero": 0.0}, nan_ok=True
    )

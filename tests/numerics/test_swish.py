"""Swish is x * sigmoid(beta * x), and SiLU for beta = 1."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from gradcore.numerics.activations import Swish, swish


@pytest.mark.parametrize("beta", [0.1, 1.0, 1.5, 10.0])
def test_it_is_the_published_formula(beta):
    x = torch.linspace(-6, 6, 25, dtype=torch.float64)

    expected = [v / (1 + math.exp(-beta * v)) for v in x.tolist()]
    assert swish(x, beta).tolist() == pytest.approx(expected, rel=1e-12)
    assert Swish(beta)(x).tolist() == pytest.approx(expected, rel=1e-6)  # beta is float32


def test_beta_one_is_torchs_silu_bit_for_bit():
    x = torch.randn(100)

    assert torch.equal(swish(x), functional.silu(x))


def test_beta_can_be_trained_and_gradcheck_passes():
    x = torch.randn(10, dtype=torch.float64, requires_grad=True)
    beta = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(swish, (x, beta))
    module = Swish(2.0, trainable=True)
    module(torch.randn(8)).sum().backward()
    assert module.beta.grad is not None
    assert [name for name, _ in module.named_parameters()] == ["beta"]


def test_a_fixed_beta_is_saved_but_not_trained():
    module = Swish(2.0)

    assert list(module.parameters()) == []
    assert module.state_dict() == {"beta": torch.tensor(2.0)}
    assert repr(module) == "Swish(beta=2)"


def test_sixteen_bits_stay_sixteen_bits():
    assert Swish(2.0, trainable=True)(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("x", [-1e30, -500.0, 500.0, 1e30])
def test_gradients_are_finite_far_from_zero(x):
    value = torch.tensor(x, requires_grad=True)

    swish(value, 3.0).backward()
    assert value.grad.item() == (1.0 if x > 0 else 0.0)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_beta_must_be_positive(beta):
    with pytest.raises(ValueError, match="beta must be finite and greater than 0; got"):
        Swish(beta)

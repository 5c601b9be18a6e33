"""The names of the guide: torch's own, but for Swish."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from gradcore.numerics import activations


def test_all_but_swish_are_torchs_own():
    ours = {"Swish", "swish"}

    for name in set(activations.__all__) - ours:
        assert getattr(activations, name) is getattr(nn if name[0].isupper() else functional, name)


@pytest.mark.parametrize("name", ["GELU", "SiLU", "Swish", "Mish", "LeakyReLU", "ELU"])
def test_units_left_of_zero_still_learn(name):
    x = torch.linspace(-3, -0.1, 30, requires_grad=True)

    getattr(activations, name)()(x).sum().backward()
    assert (x.grad != 0).all()

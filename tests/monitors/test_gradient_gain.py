"""The gain monitor against gradients that `torch.autograd.grad` computes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from gradcore.monitors import GradientGainMonitor
from stacks import NORMS, data, outputs_of, stack


@pytest.mark.parametrize("norm_type", NORMS)
def test_norms_and_gains_are_those_of_the_gradients(norm_type):
    blocks, x = stack(), data()
    outputs = outputs_of(blocks, x)
    gradients = torch.autograd.grad(outputs[-1].exp().sum(), outputs)
    expected = [NORMS[norm_type](gradient.numpy()) for gradient in gradients]

    with GradientGainMonitor(blocks, norm_type=norm_type) as monitor:
        outputs_of(blocks, x)[-1].exp().sum().backward()

    assert monitor.norms() == pytest.approx(expected, rel=1e-12)
    pairs = list(itertools.pairwise(expected))
    assert monitor.gains() == pytest.approx([a / b for a, b in pairs], rel=1e-12)
    assert monitor.log_gains() == pytest.approx([math.log(a / b) for a, b in pairs], rel=1e-9)


@pytest.mark.parametrize("kind", [nn.Sequential, lambda *b: list(b), lambda *b: iter(b)])
def test_blocks_may_be_any_series_of_modules(kind):
    blocks = stack()
    with GradientGainMonitor(kind(*blocks)) as monitor:
        outputs_of(blocks, data())[-1].sum().backward()

    assert len(monitor.gains()) == 3
    assert None not in monitor.gains()


def test_a_module_dict_is_a_series_of_its_values():
    blocks = stack(2)
    with GradientGainMonitor(nn.ModuleDict({"a": blocks[0], "b": blocks[1]})) as monitor:
        outputs_of(blocks, data())[-1].sum().backward()

    assert None not in monitor.norms()


class Scaled(nn.Module):
    """Multiplies by a factor and returns that in a form of its own."""

    def __init__(self, form, factor=2.0):
        super().__init__()
        self.form = form
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        self.made = x * self.factor
        return self.form(self.made)


@pytest.mark.parametrize(
    "form",
    [
        lambda y: (None, y),
        lambda y: [torch.zeros(2), y, y * 1.0],
        lambda y: {"ids": torch.arange(3), "hidden": y},
        lambda y: (torch.zeros(1), {"deep": [y]}),
    ],
)
def test_the_first_tensor_that_carries_a_gradient_is_what_a_block_returned(form):
    block = Scaled(form)
    with GradientGainMonitor([block]) as monitor:
        block(torch.ones(3))
        (block.made * torch.tensor([3.0, 4.0, 12.0])).sum().backward()

    assert monitor.norms() == [pytest.approx(13.0)]


def test_a_gradient_too_large_to_be_squared_has_a_norm():
    blocks = [Scaled(lambda y: y), Scaled(lambda y: y)]
    with GradientGainMonitor(blocks) as monitor:
        (blocks[1](blocks[0](torch.ones(2))) * torch.tensor([3e20, 4e20])).sum().backward()

    assert monitor.norms() == pytest.approx([1e21, 5e20])
    assert monitor.gains() == [pytest.approx(2.0)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_has_no_finite_norm(value):
    block = Scaled(lambda y: y)
    with GradientGainMonitor([block]) as monitor:
        (block(torch.ones(2)) * torch.tensor([1.0, value])).sum().backward()

    assert monitor.norms() == pytest.approx([value], nan_ok=True)


def test_complex_gradients_count_by_their_modulus():
    block = Scaled(lambda y: y * torch.tensor([1.0, 1.0], dtype=torch.complex64))
    seen = []
    with GradientGainMonitor([block], norm_type="l1") as monitor:
        output = block(torch.ones(2))
        output.register_hook(lambda gradient: seen.append(gradient.numpy()))
        (output * torch.tensor([3 + 4j, 12j])).real.sum().backward()

    assert monitor.norms() == [pytest.approx(np.abs(seen[0]).sum())]
    assert monitor.norms() == [pytest.approx(17.0)]


def test_blocks_that_need_no_gradient_are_missing_and_not_zero():
    blocks = stack(4)
    blocks[:2].requires_grad_(False)
    with GradientGainMonitor(blocks) as monitor:
        outputs_of(blocks, data())[-1].sum().backward()

    assert monitor.norms()[:2] == [None, None]
    assert monitor.gains()[:2] == [None, None]
    assert monitor.gains()[2] > 0
    assert monitor.summary_stats()["num_missing"] == 2


def test_a_frozen_block_that_gradients_pass_is_measured():
    blocks = stack(3)
    blocks[1].requires_grad_(False)
    with GradientGainMonitor(blocks) as monitor:
        outputs_of(blocks, data())[-1].sum().backward()

    assert None not in monitor.norms()


def test_a_gradient_of_zeros_has_vanished():
    blocks = [nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)]
    nn.init.zeros_(blocks[2].weight)
    with GradientGainMonitor(blocks) as monitor:
        outputs_of(blocks, torch.ones(1, 2))[-1].sum().backward()

    assert monitor.norms()[:2] == [0.0, 0.0]
    assert monitor.gains() == [math.inf, 0.0]
    assert monitor.log_gains() == [math.inf, -math.inf]
    assert monitor.summary_stats()["num_vanishing"] == 1
    assert monitor.summary_stats()["num_damping"] == 1


@pytest.mark.parametrize(
    ("blocks", "error", "message"),
    [
        ([], ValueError, "blocks is empty"),
        (nn.Linear(1, 1), TypeError, "several modules.*got Linear"),
        ([nn.Linear(1, 1), 3], TypeError, "block 1 is 3"),
        ([nn.Tanh()] * 2, ValueError, r"block 1 \(Tanh\) is listed twice"),
    ],
)
def test_blocks_that_cannot_be_are_refused(blocks, error, message):
    with pytest.raises(error, match=message):
        GradientGainMonitor(blocks)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"norm_type": "l3"}, "l2, l1, linf, mean; got 'l3'"), ({"eps": 0.0}, "eps must be")],
)
def test_options_that_cannot_be_are_refused_before_a_hook_is_installed(options, message):
    block = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=message):
        GradientGainMonitor([block], **options)

    assert not block._forward_hooks  # noqa: SLF001 - who else knows

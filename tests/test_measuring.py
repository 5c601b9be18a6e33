"""What a guard measures on behalf of others: the loss stands beside the gradients."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore
import gradients


class Watching:
    """A strategy that keeps what it was shown."""

    name = "watching"

    def __init__(self):
        self.seen = []

    def __call__(self, statistics):
        self.seen.append(statistics)
        return gradcore.Keep()


@pytest.fixture
def watched():
    strategy = Watching()
    owner = gradients.parameter(torch.tensor([3.0, 4.0]))
    return gradcore.Guard([owner], clip=strategy), strategy.seen


LOSSES = {
    "a tensor": torch.tensor(1.25),
    "one that needs a gradient": torch.tensor([1.25], requires_grad=True) * 1.0,
    "a narrow one": torch.tensor([[1.25]], dtype=torch.bfloat16),
    "a number": 1.25,
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_strategy_sees_the_loss(watched, loss):
    guard, seen = watched
    guard.apply(loss=loss)

    (statistics,) = seen
    assert (statistics.loss.dtype, tuple(statistics.loss.shape)) == (torch.float64, ())
    assert (statistics.loss.item(), statistics.loss.requires_grad) == (1.25, False)
    assert bool(statistics.trusted)


def test_without_a_loss_there_is_none(watched):
    guard, seen = watched
    guard.apply()

    assert seen[0].loss is None


def test_a_loss_beyond_float32_is_finite(watched):
    guard, seen = watched
    report = guard.apply(loss=1e300)

    assert (seen[0].loss.item(), report.loss, report.healthy) == (1e300, 1e300, True)


@pytest.mark.parametrize("loss", [math.nan, math.inf, torch.tensor(-math.inf)])
def test_a_loss_that_is_not_finite_is_not_to_be_trusted(watched, loss):
    guard, seen = watched
    guard.apply(loss=loss)

    assert not seen[0].trusted
    assert not seen[0].loss.isfinite()


def test_a_complex_loss_is_refused(watched):
    guard, seen = watched

    with pytest.raises(TypeError, match="loss must be real; got a tensor of torch.complex64"):
        guard.apply(loss=torch.tensor(1j))
    assert (seen, guard.steps) == ([], 0)


@pytest.mark.parametrize(
    ("values", "loss", "learnable"),
    [
        ([3.0, 4.0], None, True),
        ([0.0, 0.0], None, False),
        ([1.7e308, 1.7e308], None, False),
        ([3.0, math.nan], None, False),
        ([3.0, 4.0], math.nan, False),
    ],
)
def test_only_a_norm_there_is_can_be_learnt(watched, values, loss, learnable):
    """Nothing follows from a step without a gradient, or with a norm beyond float64."""
    guard, seen = watched
    owner = guard.parameters.tensors[0]
    owner.data = owner.data.double()
    owner.grad = torch.tensor(values, dtype=torch.float64)
    guard.apply(loss=loss)

    assert bool(seen[0].learnable) is learnable


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"overflow": -1.0}, "overflow must be greater than 0; got -1.0"),
        ({"needs": ("lp",), "norm_type": math.inf}, "norm_type must be finite for 'lp'; got inf"),
    ],
)
def test_options_of_a_part_that_cannot_be_are_refused_when_the_guard_is_made(attributes, message):
    policy = type("Policy", (), {"name": "policy", "__call__": lambda *_: (), **attributes})()

    with pytest.raises(ValueError, match=message):
        gradcore.Guard([gradients.parameter(torch.ones(2))], nonfinite=policy)

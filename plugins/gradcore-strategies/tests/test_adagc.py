"""AdaGC bounds each gradient by the moving average of its own norm, as in floats."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

import gradcore
from gradcore_strategies import AdaGC
from journeys import Step, calm, expected, journey, scales


class Oracle:
    """The rule with a float a parameter."""

    def __init__(
        self,
        max_norm: float = 1.0,
        relative: float = 1.05,
        beta: float = 0.98,
        warmup: int = 100,
    ) -> None:
        self.max_norm, self.relative, self.beta, self.warmup = max_norm, relative, beta, warmup
        self.gamma: dict[int, float] = {}
        self.seen = 0

    def __call__(self, step: Step) -> list[float]:
        learning = step.trusted and step.norm > 0.0
        factors = [self.one(i, g, step.norm, learning) for i, g in enumerate(step.numbers)]
        self.seen += learning
        return factors

    def one(self, i: int, g: float, joint: float, learning: bool) -> float:
        warming = self.seen < self.warmup
        gamma = self.gamma.get(i)
        if warming or gamma is None:
            h = 1.0 if joint <= self.max_norm else self.max_norm / joint
        else:
            h = 1.0 if g <= self.relative * gamma else self.relative * gamma / g
        if learning and g > 0.0:
            if gamma is None:
                self.gamma[i] = h * g
            elif warming:
                self.gamma[i] = min(gamma, h * g)
            else:
                self.gamma[i] = self.beta * gamma + (1.0 - self.beta) * h * g
        return h


OPTIONS: list[dict[str, Any]] = [
    {},
    {"max_norm": 20.0, "relative": 2.0, "beta": 0.5, "warmup": 10},
    {"warmup": 1, "beta": 0.0, "relative": 1.5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_step_of_a_training_is_clipped_by_the_formula(options: dict[str, Any]) -> None:
    steps = journey()

    factors = expected(Oracle(**options), steps)
    assert_allclose(scales(AdaGC(**options), steps), factors, rtol=1e-10)
    assert ((factors < 1.0).sum(0) > 10).all()


def test_a_gradient_that_begins_as_zero_is_not_kept_zero_for_good() -> None:
    strategy = AdaGC(warmup=5)
    scales(strategy, [Step((0.5, 0.0, None))] * 20)

    factors = scales(strategy, [Step((0.5, 0.8, 0.1))] * 2)
    joint = 1.0 / math.hypot(0.5, 0.8, 0.1)
    assert joint > 1.0
    assert factors.tolist() == [[1.0, 1.0, 1.0]] * 2


def test_one_gradient_that_runs_away_is_held_back_alone() -> None:
    strategy = AdaGC(warmup=5)
    scales(strategy, [Step((0.5, 0.5))] * 20)

    (factors,) = scales(strategy, [Step((0.5, 50.0))])
    assert factors.tolist() == pytest.approx([1.0, 1.05 * 0.5 / 50.0])


def test_what_is_learnt_stays_with_its_name_when_parameters_are_added() -> None:
    owners = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    optimizer = torch.optim.SGD([("first", owners[0]), ("second", owners[1])], lr=0.0)
    strategy = AdaGC()
    guard = gradcore.Guard(optimizer, clip=strategy)
    for owner, size in zip(owners, (0.1, 0.2, 0.4), strict=True):
        owner.grad = torch.tensor([size])
    guard.step(optimizer)
    optimizer.param_groups.insert(0, {**optimizer.param_groups[0], "params": [owners[2]]})
    optimizer.param_groups[0]["param_names"] = ["new"]
    guard.step(optimizer)

    assert strategy.gamma.tolist() == pytest.approx([0.4, 0.1, 0.2], rel=1e-6)


def test_the_bound_follows_a_level_that_falls() -> None:
    strategy = AdaGC(warmup=10, max_norm=100.0)
    scales(strategy, calm(300, level=10.0))
    factors = scales(strategy, [*calm(300, level=0.1), *calm(1, level=10.0)])

    assert factors[-1, 0] < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_norm": 0.0}, "max_norm must be finite and greater than 0; got 0.0"),
        ({"relative": -1.0}, "relative must be finite and greater than 0; got -1.0"),
        ({"beta": 1.0}, "beta must be at least 0 and less than 1; got 1.0"),
        ({"warmup": True}, "warmup must be a whole number of at least 1; got True"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaGC(**options)

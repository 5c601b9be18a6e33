"""Ema bounds the norm by its moving average, which learns clipped norms alone."""

from __future__ import annotations

import math

import pytest
from numpy.testing import assert_allclose

from gradcore.strategies import Ema
from journeys import Step, Walk, expected, journey


class Oracle:
    """The rule in floats."""

    def __init__(self, alpha=0.9, factor=2.0, floor=0.1):
        self.alpha, self.factor, self.floor = alpha, factor, floor
        self.mean = None

    def __call__(self, step):
        bound = math.inf if self.mean is None else max(self.floor, self.factor * self.mean)
        if step.trusted and step.norm > 0.0:
            clipped = min(step.norm, bound)
            before = clipped if self.mean is None else self.mean
            self.mean = self.alpha * before + (1.0 - self.alpha) * clipped
        return 1.0 if step.norm <= bound else bound / step.norm


@pytest.mark.parametrize(
    "options",
    [{}, {"alpha": 0.5, "factor": 1.1, "floor": 0.0}, {"alpha": 0.0, "floor": 2.0}],
    ids=str,
)
def test_every_step_of_a_training_is_clipped_as_in_floats(options):
    steps = journey()

    factors = expected(steps, Oracle(**options))
    assert_allclose(Walk(Ema(**options)).scales(steps), factors, rtol=1e-12)
    assert 10 < (factors[:, 0] < 1.0).sum() < len(steps)


def steady(norm, steps):
    return [Step((norm, None, None), 1.0)] * steps


def test_one_huge_spike_does_not_lift_the_bound():
    """With the raw norm in memory it would take some 500 steps until the next spike is bounded."""
    walk = Walk(Ema())
    walk.scales([*steady(1.0, 50), *steady(1e30, 1)])

    (after,) = walk.scales(steady(1e30, 1))
    assert after[0] == pytest.approx(2.0 * (0.9 * 1.0 + 0.1 * 2.0) / 1e30)


def test_a_level_that_stays_is_reached():
    walk = Walk(Ema())
    scales = walk.scales([*steady(1.0, 20), *steady(100.0, 60)])

    assert scales[20][0] == pytest.approx(0.02)
    assert scales[-1][0] == 1.0


def test_norms_below_the_floor_are_left_alone():
    scales = Walk(Ema(floor=0.1)).scales([*steady(1e-6, 5), *steady(0.1, 1), *steady(0.2, 1)])

    assert scales[:, 0].tolist() == pytest.approx([1.0] * 6 + [0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.0}, "alpha must be at least 0 and less than 1; got 1.0"),
        ({"alpha": -0.1}, "alpha must be at least 0 and less than 1; got -0.1"),
        ({"factor": 0.0}, "factor must be finite and greater than 0; got 0.0"),
        ({"floor": -1.0}, "floor must be finite and at least 0; got -1.0"),
        ({"floor": math.inf}, "floor must be finite and at least 0; got inf"),
    ],
)
def test_an_option_that_cannot_be_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Ema(**options)

"""Adaptive clips about as often as it is told to, whatever the norms do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gradcore.strategies import Adaptive
from journeys import Step, Walk, expected, journey


class Oracle:
    """The rule with lists for memories."""

    def __init__(self, window=100, percentile=95.0, target_rate=0.05, rate=0.1, floor=1e-3):
        self.window, self.percentile, self.floor = window, percentile, floor
        self.target, self.step = target_rate, 1.0 + rate
        self.norms, self.clipped, self.m = [], [], 1.0

    def __call__(self, step):
        bound = math.inf
        if self.norms:
            recent = np.percentile(self.norms[-self.window :], self.percentile)
            bound = max(self.floor, self.m * recent)
        if step.trusted and step.norm > 0.0:
            self.norms.append(step.norm)
            self.clipped.append(step.norm > bound)
            share = np.mean(self.clipped[-self.window :])
            if share > self.target:
                self.m = min(3.0, self.m * self.step)
            elif share < self.target:
                self.m = max(0.5, self.m / self.step)
        return 1.0 if step.norm <= bound else bound / step.norm


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"window": 20, "percentile": 50.0, "target_rate": 0.2, "rate": 0.02},
        {"window": 3, "rate": 1.0, "floor": 5.0},
    ],
    ids=str,
)
def test_every_step_of_a_training_is_clipped_as_numpy_would(options):
    steps = journey()

    factors = expected(steps, Oracle(**options))
    assert_allclose(Walk(Adaptive(**options)).scales(steps), factors, rtol=1e-12)
    assert 3 < (factors[:, 0] < 1.0).sum() < len(steps)


def calm(level, steps, seed=0):
    norms = level * np.random.default_rng(seed).lognormal(0.0, 0.2, steps)
    return [Step((float(norm), None, None), 1.0) for norm in norms]


def share_clipped(scales):
    return float((scales[:, 0] < 1.0).mean())


@pytest.mark.parametrize("target", [0.02, 0.05, 0.2])
def test_the_share_of_clipped_steps_is_near_the_target(target):
    walk = Walk(Adaptive(target_rate=target))
    walk.scales(calm(1.0, 200))

    assert share_clipped(walk.scales(calm(1.0, 1000, seed=1))) == pytest.approx(target, abs=0.04)


@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_a_new_level_of_norms_is_followed_within_a_window(factor):
    walk = Walk(Adaptive())
    walk.scales(calm(1.0, 200))
    walk.scales(calm(factor, 100, seed=1))

    scales = walk.scales(calm(factor, 300, seed=2))
    assert 0.0 < share_clipped(scales) < 0.15
    assert scales.min() > 0.2


def test_a_spike_never_passes_however_long_nothing_was_clipped():
    walk = Walk(Adaptive())
    walk.scales(calm(1.0, 300))

    (spike,) = walk.scales([Step((1e6, None, None), 1.0)])
    assert spike[0] * 1e6 < 3.0 * math.exp(4 * 0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": -1}, "window must be a whole number of at least 1; got -1"),
        ({"percentile": -5.0}, "percentile must be from 0 to 100; got -5.0"),
        ({"target_rate": 1.5}, "target_rate must be from 0 to 1; got 1.5"),
        ({"rate": 0.0}, "rate must be finite and greater than 0; got 0.0"),
        ({"floor": math.nan}, "floor must be finite and at least 0; got nan"),
    ],
)
def test_an_option_that_cannot_be_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Adaptive(**options)

"""Percentile bounds the norm by recent norms, as numpy works them out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gradcore.strategies import Percentile
from journeys import Step, Walk, expected, journey


class Oracle:
    """The rule with a list of floats for a memory."""

    def __init__(self, percentile=95.0, window=100, warmup=10):
        self.percentile, self.window, self.warmup = percentile, window, warmup
        self.norms = []

    def __call__(self, step):
        known = self.norms[-self.window :]
        bound = math.inf
        if len(known) >= self.warmup:
            bound = np.percentile(known, self.percentile)
        if step.trusted and step.norm > 0.0:
            self.norms.append(step.norm)
        return 1.0 if step.norm <= bound else bound / step.norm


OPTIONS = [
    {},
    {"percentile": 50.0, "window": 7, "warmup": 7},
    {"percentile": 0.0, "window": 31, "warmup": 1},
    {"percentile": 100.0, "window": 1, "warmup": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_step_of_a_training_is_clipped_as_numpy_would(options):
    steps = journey()

    factors = expected(steps, Oracle(**options))
    assert_allclose(Walk(Percentile(**options)).scales(steps), factors, rtol=1e-12)
    assert 3 <= (factors[:, 0] < 1.0).sum() < len(steps)


def test_nothing_is_clipped_before_enough_is_known():
    walk = Walk(Percentile(warmup=4))
    steps = [Step((norm, None, None), 1.0) for norm in (1.0, 100.0, 1.0, 1.0, 1e4)]

    scales = walk.scales(steps)[:, 0].tolist()
    # 95 % of the way from 1, 1, 1 to 100: at 2.85 of 0 to 3.
    assert scales == pytest.approx([1.0, 1.0, 1.0, 1.0, (1.0 + 0.85 * 99.0) / 1e4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"percentile": 101.0}, "percentile must be from 0 to 100; got 101.0"),
        ({"percentile": math.nan}, "percentile must be from 0 to 100; got nan"),
        ({"window": 0}, "window must be a whole number of at least 1; got 0"),
        ({"warmup": 2.5}, "warmup must be a whole number of at least 1; got 2.5"),
        ({"window": 5, "warmup": 6}, "warmup must be at most window=5; got 6"),
    ],
)
def test_an_option_that_cannot_be_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Percentile(**options)

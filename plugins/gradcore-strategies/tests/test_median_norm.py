"""MedianNorm bounds the norm by a multiple of its median, as numpy works it out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gradcore_strategies import MedianNorm
from journeys import Step, calm, expected, journey, scales


class Oracle:
    """The rule with a list."""

    def __init__(self, scale: float = 2.0, period: int = 100) -> None:
        self.scale, self.period = scale, period
        self.norms: list[float] = []
        self.bound = math.inf

    def __call__(self, step: Step) -> float:
        if step.trusted and step.norm > 0.0:
            self.norms.append(step.norm)
            n, recent = len(self.norms), self.norms[-self.period :]
            if n % self.period == 0:
                self.bound = self.scale * float(np.median(recent))
            elif n in {10, 20, 40} and n < self.period:
                self.bound = 2.0 * self.scale * float(np.median(recent))
        return 1.0 if step.norm <= self.bound else self.bound / step.norm


@pytest.mark.parametrize(
    "options", [{}, {"scale": 1.0, "period": 15}, {"scale": 0.5, "period": 1}], ids=str
)
def test_every_step_of_a_training_is_clipped_as_numpy_would(options: dict[str, Any]) -> None:
    steps = journey()

    factors = expected(Oracle(**options), steps)
    assert_allclose(scales(MedianNorm(**options), steps), factors, rtol=1e-12)
    assert (factors[:, 0] < 1.0).sum() > 5


def test_quartiles_and_the_share_clipped_can_be_read() -> None:
    strategy = MedianNorm(scale=1.5, period=50)
    first, second = calm(50), calm(50, seed=1)
    scales(strategy, first)
    strategy_clips = scales(strategy, second[:-1])[:, 0] < 1.0
    # Those between two estimates: the fiftieth step belongs to what comes after it.
    before = scales(strategy, second[-1:])[0, 0]
    norms = [step.norm for step in second]

    assert_allclose(strategy.quartiles, np.percentile(norms, [0, 25, 50, 75, 100]), rtol=1e-12)
    assert float(strategy.share_clipped) == pytest.approx(strategy_clips.mean(), abs=0.021)
    assert before <= 1.0


def test_spikes_do_not_move_the_bound_far() -> None:
    strategy = MedianNorm()
    scales(strategy, [*calm(70), *[Step((1e30,))] * 30])

    assert float(strategy.bound) == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "scale must be finite and greater than 0; got 0.0"),
        ({"period": -1}, "period must be a whole number of at least 1; got -1"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MedianNorm(**options)

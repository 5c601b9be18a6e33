"""ZClip does what the paper's formulas say, in floats."""

from __future__ import annotations

import math
from typing import Any

import pytest
from numpy.testing import assert_allclose

from gradcore_strategies import ZClip
from journeys import Step, calm, expected, journey, scales


class Oracle:
    """The rule with a list for the warm-up and a variance afterwards."""

    def __init__(
        self,
        alpha: float = 0.97,
        z_threshold: float = 2.5,
        warmup: int = 25,
        *,
        eps: float = 1e-6,
        max_norm: float | None = 1.0,
        clip_factor: float = 1.0,
    ) -> None:
        self.alpha, self.t, self.warmup, self.eps = alpha, z_threshold, warmup, eps
        self.max_norm = math.inf if max_norm is None else max_norm
        self.clip_factor = clip_factor
        self.collected: list[float] = []
        self.mean = self.variance = 0.0

    def __call__(self, step: Step) -> float:
        g = target = step.norm
        warming = len(self.collected) < self.warmup
        if not warming:
            deviation = math.sqrt(self.variance)
            z = (g - self.mean) / (deviation + self.eps)
            if z > self.t:
                target = self.clip_factor * (self.mean + self.t**2 * deviation / z)
        if step.trusted and g > 0.0:
            if warming:
                self.collected.append(g)
                n = len(self.collected)
                self.mean = sum(self.collected) / n
                self.variance = sum((x - self.mean) ** 2 for x in self.collected) / n
            else:
                self.mean = self.alpha * self.mean + (1 - self.alpha) * target
                self.variance *= self.alpha
                self.variance += (1 - self.alpha) * (target - self.mean) ** 2
        bound = min(target, self.max_norm)
        return bound / (g + 1e-6) if g > bound else 1.0


OPTIONS: list[dict[str, Any]] = [
    {},
    {"max_norm": None},
    {"max_norm": None, "alpha": 0.5, "z_threshold": 1.0, "warmup": 1, "clip_factor": 0.7},
    {"max_norm": 5.0, "warmup": 60, "eps": 0.1, "clip_factor": 1.5},
]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_step_of_a_training_is_clipped_by_the_formula(
    options: dict[str, Any], seed: int
) -> None:
    steps = journey(seed=seed)

    factors = expected(Oracle(**options), steps)
    assert_allclose(scales(ZClip(**options), steps), factors, rtol=1e-9)
    assert (factors[:, 0] < 1.0).sum() > 5


def test_a_spike_ends_closer_to_the_mean_the_further_out_it_is() -> None:
    ends = []
    for size in (2.0, 4.0, 100.0, 1e30):
        strategy = ZClip(max_norm=None)
        scales(strategy, calm(60))
        ends.append(size * float(scales(strategy, [Step((size,))])[0, 0]))

    assert ends == sorted(ends, reverse=True)
    assert ends[-1] == pytest.approx(1.0, abs=0.1)


def test_the_usual_is_left_alone_without_a_largest_norm() -> None:
    factors = scales(ZClip(max_norm=None), calm(300))

    assert (factors == 1.0).mean() > 0.98


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.0}, "alpha must be at least 0 and less than 1; got 1.0"),
        ({"z_threshold": -2.5}, "z_threshold must be finite and greater than 0; got -2.5"),
        ({"warmup": 0}, "warmup must be a whole number of at least 1; got 0"),
        ({"eps": 0.0}, "eps must be finite and greater than 0; got 0.0"),
        ({"max_norm": math.nan}, "max_norm must be finite and greater than 0; got nan"),
        ({"clip_factor": math.inf}, "clip_factor must be finite and greater than 0; got inf"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ZClip(**options)

"""AutoClip bounds the norm by a percentile of its history, as numpy works it out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gradcore_strategies import AutoClip
from journeys import Step, calm, expected, journey, scales


class Oracle:
    """The rule with a list."""

    def __init__(self, percentile: float = 10.0, history: int | None = 10_000) -> None:
        self.percentile, self.history = percentile, history
        self.norms: list[float] = []

    def __call__(self, step: Step) -> float:
        if step.trusted and step.norm > 0.0:
            self.norms.append(step.norm)
        known = self.norms[-(self.history or len(self.norms)) :]
        bound = float(np.percentile(known, self.percentile)) if known else np.inf
        return min(1.0, bound / step.norm) if step.norm else 1.0


OPTIONS: list[dict[str, Any]] = [
    {},
    {"percentile": 90.0, "history": 50},
    {"percentile": 50.0, "history": None},
    {"percentile": 100.0, "history": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_step_of_a_training_is_clipped_as_numpy_would(options: dict[str, Any]) -> None:
    steps = journey()

    factors = expected(Oracle(**options), steps)
    assert_allclose(scales(AutoClip(**options), steps), factors, rtol=1e-12)
    assert 5 < (factors[:, 0] < 1.0).sum() < len(steps)


def test_most_steps_are_clipped_by_default() -> None:
    assert (scales(AutoClip(), calm(400))[:, 0] < 1.0).mean() == pytest.approx(0.9, abs=0.05)


def test_a_history_without_end_grows_beyond_its_first_room() -> None:
    steps = [Step((float(1 + i * 37 % 1999),)) for i in range(1500)]

    assert_allclose(
        scales(AutoClip(history=None), steps), expected(Oracle(history=None), steps), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"percentile": 110.0}, "percentile must be from 0 to 100; got 110.0"),
        ({"history": 0}, "history must be a whole number of at least 1; got 0"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoClip(**options)

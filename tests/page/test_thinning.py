"""Long runs are thinned to a bounded number of steps, and no extreme is lost."""

from __future__ import annotations

import math

import numpy as np

from gradcore.page.thinning import MOST, STRETCHES, drawn


def test_up_to_a_bound_every_step_is_drawn():
    assert drawn(MOST, []).tolist() == list(range(MOST))


def test_beyond_it_the_extremes_of_every_stretch_are():
    curve = np.random.default_rng(0).normal(size=100_000)
    curve[[77_777, 12_345]] = 50.0, -math.inf
    curve[500] = math.nan
    places = drawn(len(curve), [curve])

    assert {0, 12_345, 77_777, len(curve) - 1} <= set(places.tolist())
    assert len(places) <= 2 * STRETCHES + 2
    assert (np.diff(places) > 0).all()
    width = len(curve) // STRETCHES
    for start in range(width * 20, len(curve), width):
        inside = places[(places >= start) & (places < start + width)]
        assert curve[inside].max() == curve[start : start + width].max()
        assert curve[inside].min() == curve[start : start + width].min()


def test_a_curve_without_a_number_asks_for_nothing():
    assert drawn(MOST + 1, [np.full(MOST + 1, math.nan)]).tolist() == [0, MOST]

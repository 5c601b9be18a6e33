"""Mean, deviation and extremes as curves."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

import recorded
from gradcore.plots.moments import draw_moments


def drawn(*steps):
    axes = Figure().add_subplot()
    draw_moments(axes, recorded.run(*steps))
    axes.figure.canvas.draw()
    return axes


def test_each_is_drawn_with_gaps_where_it_is_unknown():
    columns = {"mean": [-0.25, -0.25, -0.25], "std": 0.5, "max_abs": [1.0, 7.0, 2.0]}
    axes = drawn(recorded.step(0, columns=columns), recorded.step(1))

    shown = {each.get_label(): each.get_ydata() for each in axes.lines}
    np.testing.assert_array_equal(shown["largest"], [7.0, math.nan])
    np.testing.assert_array_equal(shown["standard deviation"], [0.5, math.nan])
    np.testing.assert_array_equal(shown["|mean|"], [0.25, math.nan])
    assert axes.get_yscale() == "log"


def test_where_nothing_was_measured_it_says_how_to():
    axes = drawn(recorded.step(0))

    assert 'needs=("sum", "max_abs")' in axes.texts[0].get_text()

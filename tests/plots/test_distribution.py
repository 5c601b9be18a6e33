"""The histogram counts every finite norm, and says what it leaves out."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

import recorded
import reports
from gradcore import Counts
from gradcore.plots.distribution import draw_distribution


def drawn(*steps):
    axes = Figure().add_subplot()
    draw_distribution(axes, recorded.run(*steps))
    axes.figure.canvas.draw()
    return axes


def test_all_norms_are_counted_before_and_after_clipping():
    norms = np.random.default_rng(0).lognormal(0, 2, 400)
    axes = drawn(
        *(
            reports.report(n, x, clipped_norm=min(x, 1.0), clipped=x > 1.0, scale=min(1.0, 1.0 / x))
            for n, x in enumerate(norms.tolist())
        )
    )

    before, after = axes.containers[0], axes.patches[-1]
    assert sum(bar.get_height() for bar in before) == 400
    assert after.get_xy()[:, 1].max() >= (norms >= 1.0).sum()
    assert axes.get_xscale() == "log"


def test_norms_that_are_all_alike_are_counted():
    axes = drawn(*(reports.report(n, 5.0) for n in range(3)))

    assert sum(bar.get_height() for bar in axes.containers[0]) == 3


def test_it_is_said_which_steps_are_left_out():
    axes = drawn(
        reports.report(0, 1.0),
        reports.report(1, 1.0, nonfinite=Counts(nan=1)),
        reports.report(2, math.inf),
        reports.report(3, 0.0),
    )

    assert "3 of 4 steps left out" in axes.get_xlabel()
    assert sum(bar.get_height() for bar in axes.containers[0]) == 1


def test_without_a_finite_step_it_says_so():
    axes = drawn(reports.report(0, 1.0, nonfinite=Counts(nan=1)))

    assert [text.get_text() for text in axes.texts] == ["no step was finite"]

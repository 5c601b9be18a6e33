"""Rank correlations, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

import recorded
import reports
from gradcore import Counts
from gradcore.plots.correlation import draw_correlation, spearman, varying


def test_without_ties_it_is_the_formula_of_squared_differences_of_ranks():
    rng = np.random.default_rng(0)
    a, b = rng.permutation(20.0 + np.arange(20)), rng.permutation(np.arange(20.0) ** 3)
    ranks = np.array([sorted(a).index(x) for x in a]) - [sorted(b).index(x) for x in b]

    assert spearman(a, b) == pytest.approx(1 - 6 * np.sum(ranks**2) / (20 * (20**2 - 1)))


def test_equal_values_share_the_mean_of_their_ranks():
    # ranks 1.5 1.5 3 4 against 1 2 3 4
    assert spearman(np.array([0, 0, 1, 9]), np.arange(4.0)) == pytest.approx(4.5 / math.sqrt(22.5))


def test_unknown_values_are_left_out_in_pairs():
    a, b = np.array([1.0, 2.0, math.nan, 3.0]), np.array([3.0, 2.0, 9.0, math.nan])

    assert spearman(a, b) == pytest.approx(-1.0)
    assert math.isnan(spearman(np.ones(3), np.arange(3.0)))


def test_metrics_that_never_change_are_left_out():
    run = recorded.run(*(reports.report(n, 2.0**n, loss=5.0 - n) for n in range(4)))
    axes = Figure().add_subplot()
    draw_correlation(axes, run)

    assert list(varying(run)) == ["loss", "norm"]
    assert [text.get_text() for text in axes.texts] == ["1.00", "-1.00", "-1.00", "1.00"]


def test_norms_of_steps_that_were_not_finite_are_unknown():
    steps = [reports.report(n, n + 1.0, nonfinite=Counts(nan=n % 2)) for n in range(4)]

    np.testing.assert_array_equal(varying(recorded.run(*steps))["norm"], [1, math.nan, 3, math.nan])

"""A run tells of its steps what its reports tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

import recorded
import reports
from gradcore import Counts
from gradcore.history import History
from gradcore.runs import run_of


def test_events_are_steps_with_a_nonfinite_gradient_or_loss():
    run = recorded.run(
        recorded.step(0, loss=1.0),
        recorded.step(1, bad=[1], loss=1.0),
        recorded.step(2, loss=math.nan),
        recorded.step(3),
    )

    assert run.events.tolist() == [False, True, True, False]
    assert run.given_loss.tolist() == [True, True, True, False]


def test_a_bound_is_known_where_one_factor_scaled_all():
    clipped = {"clipped": True, "norm": 4.0}
    run = recorded.run(
        reports.report(0, clipped_norm=1.0, scale=0.25, **clipped),
        reports.report(1, clipped_norm=3.0, scale=0.25, **clipped),  # some gradients alone
        reports.report(2, norm=0.5),
        reports.report(3, clipped=True, norm=math.inf, clipped_norm=1.0, scale=0.0),
    )

    np.testing.assert_array_equal(run.bounds, [1.0, math.nan, math.nan, math.nan])


def test_spacing_is_that_of_reports_with_parameters():
    assert recorded.run(*(recorded.step(n) for n in range(0, 50, 5))).spacing == 5.0
    assert recorded.run(reports.report(3)).spacing == 1.0


def test_without_parameters_there_is_no_grid():
    run = recorded.run(reports.report(0, nonfinite=Counts(nan=2), first_nonfinite="a"))

    assert run.grid is None
    assert run.moments.step.size == 0
    assert run.streaks[0].first_nonfinite == "a"


def test_an_empty_history_has_nothing_to_show():
    with pytest.raises(ValueError, match="empty"):
        run_of(History(5))

"""Events that follow one another are one streak."""

from __future__ import annotations

import math

import recorded
import reports
from gradcore import Counts


def test_a_streak_ends_with_a_good_step_and_sums_what_happened():
    bad = {"nonfinite": Counts(2, 3, 5), "skipped": True, "last_clean": "z"}
    run = recorded.run(
        reports.report(0),
        reports.report(1, first_nonfinite="a", **bad),
        reports.report(2, first_nonfinite="b", **bad),
        reports.report(3),
        reports.report(4, loss=math.inf, repaired=7, restored=True),
    )

    first, second = run.streaks
    assert (first.first, first.last, first.steps) == (1, 2, 2)
    assert (first.first_nonfinite, first.last_clean) == ("a", "z")
    assert (first.nan, first.posinf, first.neginf, first.skipped) == (4, 6, 10, 2)
    assert (second.first, second.losses, second.repaired, second.restored) == (4, 1, 7, 1)


def test_skips_and_nonfinite_parameters_are_events_too():
    run = recorded.run(
        reports.report(0, skipped=True),
        reports.report(1),
        reports.report(2, nonfinite_parameters=Counts(nan=4)),
    )

    assert [(s.first, s.skipped, s.parameters) for s in run.streaks] == [(0, 1, 0), (2, 0, 4)]

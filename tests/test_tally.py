"""A `Tally` counts what happened over all steps."""

from __future__ import annotations

import math

import pytest

import reports
from gradcore import Counts
from gradcore.tally import Tally

SOME = [
    reports.report(),
    reports.report(nonfinite=Counts(neginf=1), skipped=True, healthy=False),
    reports.report(nonfinite=Counts(nan=2), repaired=2, healthy=False, clipped=True),
    reports.report(loss=math.inf, healthy=False),
    reports.report(loss=2.0, clipped=True),
]


def test_each_step_counts_for_what_it_was():
    assert Tally.of(SOME) == Tally(
        steps=5, nonfinite=3, clipped=2, skipped=1, unhealthy=3, repaired=2
    )


def test_tallies_add_up_and_are_taken_away():
    assert Tally.of(SOME[:2]) + Tally.of(SOME[2:]) == Tally.of(SOME)
    assert Tally.of(SOME) - Tally.of(SOME[2:]) == Tally.of(SOME[:2])


def test_it_goes_through_plain_numbers():
    assert Tally.from_dict(Tally.of(SOME).to_dict()) == Tally.of(SOME)


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        {},
        {"steps": 1},
        Tally().to_dict() | {"steps": -1},
        Tally().to_dict() | {"steps": 1.0},
        Tally(steps=3).to_dict() | {"skipped": 4},
        Tally(steps=3).to_dict() | {"unhealthy": True},
    ],
    ids=str,
)
def test_what_is_no_tally_is_refused(plain):
    with pytest.raises(ValueError, match="A tally is whole numbers steps, nonfinite"):
        Tally.from_dict(plain)

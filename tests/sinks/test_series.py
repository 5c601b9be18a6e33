"""Curves are numbers by name, and the spread of norms is told in orders of magnitude."""

from __future__ import annotations

import math

import numpy as np
import pytest

import reports
from gradcore import Counts, Finding
from gradcore.sinks.series import series_of, spread_of_norms


def test_every_number_of_a_report_is_a_curve():
    report = reports.report(
        step=9,
        norm=4.0,
        clipped=True,
        skipped=False,
        nonfinite=Counts(nan=1, posinf=2, neginf=4),
        findings=(Finding("a", "critical", "", ""), Finding("b", "info", "", "")),
    )

    series = series_of(report, per_parameter=False)
    assert series["gradcore/norm"] == 4.0
    assert (series["gradcore/clipped"], series["gradcore/skipped"]) == (1.0, 0.0)
    assert (series["gradcore/nonfinite"], series["gradcore/warnings"]) == (7.0, 1.0)
    assert not {"gradcore/loss", "gradcore/step", "gradcore/first_nonfinite"} & {*series}
    assert all(type(value) is float for value in series.values())


def test_norms_of_parameters_are_curves_if_asked_for():
    report = reports.report(parameters=reports.table(["0.weight", "bias"], [2.0, None]))

    assert series_of(report, per_parameter=True)["gradcore/norm/0.weight"] == 2.0
    assert "gradcore/norm/bias" not in series_of(report, per_parameter=True)
    assert "gradcore/norm/0.weight" not in series_of(report, per_parameter=False)


def test_the_spread_is_of_logarithms_of_norms_that_have_one():
    norms = [1e-8, 1e-3, 1e-3, 10.0, 0.0, None, math.inf]
    report = reports.report(parameters=reports.table("abcdefg", norms))

    counts, edges = spread_of_norms(report)
    assert (edges[0], edges[-1]) == (pytest.approx(-8), pytest.approx(1))
    assert counts.sum() == 4
    where = np.flatnonzero(counts)
    assert counts[where].tolist() == [1, 2, 1]
    assert edges[where[1]] <= -3 <= edges[where[1] + 1]


@pytest.mark.parametrize("norms", [[], [0.0, 0.0], [None], [math.inf]])
def test_no_norms_have_no_spread(norms):
    assert (
        spread_of_norms(reports.report(parameters=reports.table("ab"[: len(norms)], norms))) is None
    )

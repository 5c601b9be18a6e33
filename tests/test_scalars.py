"""The scalars of a report fit in one row of numbers, and come back from it."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given

import gradcore
import reports
from gradcore.scalars import COLUMNS, FIELDS, KINDS, NAMES, PLAIN, report_of, row_of


@pytest.mark.parametrize("kind", [*KINDS.values()])
def test_the_type_of_every_field_is_known(kind):
    assert kind in {*PLAIN, "float | None", "str | None", "Counts"}


@given(reports.reports)
def test_a_report_comes_back_without_table_and_findings(report):
    names = []

    def number(name):
        if name is not None and name not in names:
            names.append(name)
        return -1 if name is None else names.index(name)

    row = [float(value) for value in row_of(report, number)]
    bare = dataclasses.replace(report, parameters=(), findings=())
    assert reports.plain(report_of(row, names)) == reports.plain(bare)


def test_a_row_takes_as_many_bytes_as_are_told():
    """200 in all."""
    assert len(COLUMNS) * 8 <= 200


def test_columns_that_are_shown_are_numbers_alone():
    row = dict(zip(COLUMNS, row_of(reports.report(), lambda _: -1), strict=True))

    assert not {"first_nonfinite", "last_clean", "has_loss"} & {*FIELDS}
    assert {"step", "norm", "nan", "posinf", "neginf", "loss", "stability"} <= {*FIELDS}
    assert math.isnan(row["loss"])
    assert [row[name] for name in NAMES] == [-1, -1, -1, -1]
    assert set(KINDS) == {f.name for f in dataclasses.fields(gradcore.Report)} - {
        "parameters",
        "findings",
    }

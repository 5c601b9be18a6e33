"""Columns of a table are the same from a log as from a step that was just taken."""

from __future__ import annotations

import math

import numpy as np

import reports
from gradcore.runs.columns import names_and_columns


def test_rows_and_columns_of_a_log_give_the_same_numbers():
    table = reports.table("ab", [1.0, 2.0], numel=[3, None], mean=None, nan=4)
    names, read = names_and_columns(table)
    same, read_rows = names_and_columns(tuple(table))

    assert list(names) == list(same) == ["a", "b"]
    for field in ("norm", "numel", "mean", "nan", "scale"):
        np.testing.assert_array_equal(read(field), read_rows(field))
    np.testing.assert_array_equal(read("numel"), [3, math.nan])


def test_one_value_that_stands_for_all_takes_no_memory_a_parameter():
    table = reports.table([""] * 100_000, [])
    _, read = names_and_columns(table)

    assert read("scale").shape == (100_000,)
    assert read("scale").strides == (0,)

"""A sparkline draws what is there, and marks what was asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcore.cli.watch.sparkline import BLOCKS, NOTHING, PLAIN, sparkline


def drawn(numbers, width=80, *, plain=False):
    none = np.zeros(len(numbers), dtype=bool)
    return str(sparkline(np.array(numbers, dtype=float), none, width, plain=plain))


def test_numbers_above_zero_are_drawn_by_their_logarithms():
    assert drawn([10.0**i for i in range(8)]) == BLOCKS
    assert drawn([10.0**i for i in range(8)], plain=True) == PLAIN


def test_others_are_drawn_as_they_are():
    assert drawn([-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5]) == BLOCKS


def test_many_numbers_are_drawn_by_the_largest_of_several():
    """A single spike among thousands is seen."""
    numbers = np.ones(10_000)
    numbers[5_050] = 1e6

    line = drawn(numbers, width=100)
    assert len(line) == 100
    assert line[50] == BLOCKS[-1]
    assert set(line[:50] + line[51:]) == {BLOCKS[0]}


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_not_finite_is_no_height(number):
    assert drawn([1.0, number, 10.0]) == BLOCKS[0] + NOTHING + BLOCKS[-1]
    assert drawn([number]) == NOTHING


def test_equal_numbers_are_a_flat_line_and_none_no_line():
    assert drawn([2.0, 2.0]) == BLOCKS[0] * 2
    assert drawn([]) == ""


def test_marked_steps_are_red():
    line = sparkline(np.ones(4), np.array([False, False, True, False]), 2, plain=False)

    assert [str(span.style) for span in line.spans] == ["cyan", "bold red"]


def test_one_outlier_does_not_flatten_the_others():
    numbers = np.array([1.0, 2.0, 4.0, 8.0] * 15)
    numbers[30] = 1e25

    line = drawn(numbers, width=60)
    assert line[30] == BLOCKS[-1]
    assert {line[0], line[3]} == {BLOCKS[0], BLOCKS[-1]}

"""Value asks for a bound on each element, whatever the gradients are."""

from __future__ import annotations

import math

import pytest

from gradcore import Clamp
from gradcore.strategies import Value


@pytest.mark.parametrize("gradients", [([0.5],), ([3.0, -4.0], None), ([],)])
def test_every_step_gets_the_same_limit(statistics_of, gradients):
    statistics = statistics_of(*gradients, needs=Value.needs)

    assert Value(limit=0.25)(statistics) == Clamp(0.25)


def test_the_limit_is_one_by_default():
    assert Value() == Value(limit=1.0)


def test_the_largest_magnitude_is_measured_so_that_small_gradients_need_no_write():
    assert Value.needs == ("max_abs",)


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan, math.inf])
def test_the_limit_must_be_finite_and_positive(limit):
    with pytest.raises(ValueError, match="limit must be finite and greater than 0; got"):
        Value(limit)

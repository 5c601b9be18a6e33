"""Factors that bring norms within bounds are the same wherever they are worked out."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from itertools import product

import pytest
import torch

from gradcore import Scale

LARGEST = sys.float_info.max
BOUNDS = (5e-324, 1e-300, 0.1, 1 / 3, 1.0, 1e300, LARGEST, math.inf)
NORMS = (0.0, 5e-324, 1e-300, 0.1, 0.7, 1.0, 3.0, 1e300, LARGEST, math.inf)


def exact(bound, norm):
    """min(1, bound / norm), rounded once; a norm beyond float64 counts as the largest in it."""
    if math.isinf(bound) or norm <= bound:
        return 1.0
    return min(1.0, float(Fraction(bound) / Fraction(min(norm, LARGEST))))


def float64(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize(("bound", "norm"), [*product(BOUNDS, NORMS)])
def test_a_factor_is_exact_for_one_norm_and_for_each_of_several(bound, norm):
    single = Scale.within(float64(bound), float64(norm)).factors
    several = Scale.within(float64([bound, 1.0]), float64([norm, 2.0])).factors

    assert (single.shape, single.dtype) == ((), torch.float64)
    assert single.item() == exact(bound, norm)
    assert several.tolist() == [exact(bound, norm), 0.5]


@pytest.mark.parametrize("norm", NORMS)
def test_a_bound_may_be_a_plain_number(norm):
    assert Scale.within(0.5, float64(norm)).factors.item() == exact(0.5, norm)
    assert Scale.within(0.5, float64([norm])).factors.tolist() == [exact(0.5, norm)]


@pytest.mark.parametrize("bound", [0.0, math.nan])
def test_a_bound_that_says_nothing_of_a_norm_of_zero_leaves_it(bound):
    assert Scale.within(float64(bound), float64(0.0)).factors.item() == 1.0
    assert Scale.within(float64([bound]), float64([0.0])).factors.tolist() == [1.0]


def test_a_factor_may_be_compiled():
    def factor(norm):
        return Scale.within(0.5, norm).factors

    compiled = torch.compile(factor, fullgraph=True, backend="aot_eager")

    assert compiled(float64(4.0)).item() == 0.125
    assert compiled(float64(0.25)).item() == 1.0

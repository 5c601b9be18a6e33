"""The oracle agrees with numpy, the standard library and published numbers where they are exact."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.floats(allow_nan=False, width=64))
def test_rounding_to_float16_and_float32_is_that_of_numpy(value):
    if math.isinf(value):
        return
    with np.errstate(over="ignore"):
        assert oracle.FLOAT16.round(Fraction(value)) == float(np.float16(value))
        assert oracle.FLOAT32.round(Fraction(value)) == float(np.float32(value))


@given(st.integers(0, 2**16 - 1))
def test_every_float16_rounds_to_itself(pattern):
    value = float(np.array(pattern, dtype=np.uint16).view(np.float16))
    if math.isfinite(value):
        assert oracle.FLOAT16.round(Fraction(value)) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0 + 2**-8, 1.0),  # a tie goes to the even neighbour
        (1.0 + 3 * 2**-8, 1.0 + 2**-6),
        (1.0 + 2**-8 + 2**-40, 1.0 + 2**-7),
        (2.0**-133, 2.0**-133),  # the smallest subnormal
        (2.0**-134, 0.0),
        (3.4e38, math.inf),
        (3.389e38, 3.3895313892515355e38),
    ],
)
def test_bfloat16_rounds_ties_to_even(value, expected):
    assert oracle.BFLOAT16.round(Fraction(value)) == expected


def test_largest_numbers_are_the_published_ones():
    assert oracle.FLOAT16.largest == 65504.0
    assert oracle.BFLOAT16.largest == 3.3895313892515355e38
    assert oracle.FLOAT32.largest == float(np.finfo(np.float32).max)
    assert oracle.FLOAT64.largest == float(np.finfo(np.float64).max)


@given(st.lists(finite, max_size=6))
def test_euclidean_norm_is_the_correctly_rounded_one(values):
    """Within half a unit in the last place of the exact root, which is checked by squaring."""
    norm = oracle.facts(values).l2

    exact = sum(Fraction(value) ** 2 for value in values)
    if math.isinf(norm):
        assert exact > Fraction(oracle.FLOAT64.largest) ** 2
    else:
        half = Fraction(math.ulp(norm)) / 2
        assert max(Fraction(norm) - half, Fraction(0)) ** 2 <= exact
        assert exact <= (Fraction(norm) + half) ** 2


@given(st.lists(st.floats(-1e100, 1e100), max_size=6))
def test_sum_is_that_of_fsum(values):
    assert oracle.facts(values).sum == math.fsum(values)
    assert oracle.facts(values).l1 == math.fsum(abs(value) for value in values)


@given(st.lists(st.complex_numbers(max_magnitude=1e100, allow_nan=False), max_size=5))
def test_complex_norms_are_those_of_their_parts_and_moduli(values):
    facts = oracle.facts(values)

    assert facts.l2 == oracle.facts([n for z in values for n in (z.real, z.imag)]).l2
    assert facts.l1 == pytest.approx(math.fsum(abs(z) for z in values), rel=1e-15, abs=5e-324)
    assert facts.max_abs == pytest.approx(max(map(abs, values), default=0), rel=1e-15, abs=5e-324)


@given(st.lists(st.floats(-1e30, 1e30), max_size=5))
def test_any_order_agrees_with_the_orders_that_are_exact(values):
    facts = oracle.facts(values)

    assert oracle.power_norm(values, 2.0) == pytest.approx(facts.l2, rel=1e-15, abs=5e-324)
    assert oracle.power_norm(values, 1.0) == pytest.approx(facts.l1, rel=1e-15, abs=5e-324)
    assert oracle.power_norm(values, math.inf) == facts.max_abs


def test_known_power_norms():
    assert oracle.power_norm([3.0, 4.0], 3.0) == pytest.approx(91 ** (1 / 3), rel=1e-15)
    assert oracle.power_norm([1.0, 4.0], 0.5) == 9.0
    assert oracle.power_norm([1e200] * 16, 4.0) == 2e200


def test_elements_are_classified_by_their_worst_part():
    cases = [1.0, math.nan, math.inf, -math.inf, complex(math.inf, math.nan), complex(1, -math.inf)]

    kinds = [oracle.kind(case) for case in cases]
    assert kinds == ["finite", "nan", "posinf", "neginf", "nan", "neginf"]
    assert oracle.kind(complex(-math.inf, math.inf)) == "posinf"
    assert oracle.kind(-11.0, overflow=10.0) == "neginf"
    assert oracle.kind(10.0, overflow=10.0) == "finite"


def test_facts_of_a_list_with_holes_in_it():
    values = [1.0, math.inf, -math.inf, math.nan, 2.0]

    assert oracle.facts(values).l2 == math.sqrt(5)
    assert oracle.facts(values, replacement=(0.0, 10.0, -10.0)).l2 == math.sqrt(205)


@pytest.mark.parametrize("limit", [0.5, 2.0])
def test_clamping_keeps_the_phase_and_what_is_within(limit):
    clamped = oracle.clamped(3 + 4j, limit, oracle.FLOAT64)

    assert clamped == complex(limit * 0.6, limit * 0.8)
    assert oracle.clamped(-0.25, limit, oracle.FLOAT64) == -0.25
    assert oracle.clamped(-math.inf, limit, oracle.FLOAT64) == -limit
    assert oracle.clamped(complex(math.inf, 7.0), limit, oracle.FLOAT64) == complex(limit, 0.0)


def test_saturation_never_rounds_to_infinity():
    assert oracle.FLOAT16.saturate(1e5) == 65504.0
    assert oracle.FLOAT16.saturate(-65519.0) == -65504.0
    assert oracle.BFLOAT16.saturate(3.4e38) == oracle.BFLOAT16.largest
    assert oracle.FLOAT32.saturate(-math.inf) == -oracle.FLOAT32.largest

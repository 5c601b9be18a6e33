"""GlobalNorm bounds the joint norm and otherwise keeps its hands off."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn, tensor, zeros

from gradcore import measure
from gradcore.strategies import GlobalNorm

elements = st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=4)
lists = st.lists(st.none() | elements, min_size=1, max_size=4)
bounds = st.floats(1e-3, 1e3)


def factor_of(strategy, statistics):
    factors = strategy(statistics).factors
    assert factors.shape == ()
    return float(factors)


@pytest.mark.parametrize(
    ("order", "norm"), [(1.0, 7.0), (2.0, 5.0), (3.0, 91.0 ** (1 / 3)), (math.inf, 4.0)]
)
def test_gradients_beyond_the_bound_are_scaled_onto_it(statistics_of, order, norm):
    strategy = GlobalNorm(max_norm=2.0, norm_type=order)

    statistics = statistics_of([3.0], [-4.0], needs=strategy.needs, order=order)
    assert factor_of(strategy, statistics) == pytest.approx(2.0 / norm, rel=1e-15)


@pytest.mark.parametrize(
    ("order", "needs"),
    [(2.0, ()), (2, ()), (1.0, ("l1",)), (math.inf, ("max_abs",)), (0.5, ("lp",)), (3.0, ("lp",))],
)
def test_no_more_is_measured_than_the_norm_takes(order, needs):
    assert GlobalNorm(norm_type=order).needs == needs


def test_a_norm_on_the_bound_gets_a_factor_of_exactly_one(statistics_of):
    assert factor_of(GlobalNorm(max_norm=5.0), statistics_of([3.0, 4.0])) == 1.0


@pytest.mark.parametrize("gradients", [([0.0, 0.0],), (None,), ([],), ([5e-324],)])
def test_no_gradient_to_speak_of_gets_a_factor_of_exactly_one(statistics_of, gradients):
    assert factor_of(GlobalNorm(max_norm=1e3), statistics_of(*gradients)) == 1.0


@given(lists, bounds)
def test_the_joint_norm_never_ends_above_the_bound(statistics_of, gradients, max_norm):
    """For any gradients and any bound, up to rounding; a factor below 1 only where it is needed."""
    statistics = statistics_of(*gradients)
    factor = factor_of(GlobalNorm(max_norm), statistics)
    norm = np.linalg.norm([x for values in gradients if values is not None for x in values])

    assert 0.0 <= factor <= 1.0
    assert factor * norm <= max_norm * (1 + 1e-12)
    assert (factor == 1.0) == (norm <= max_norm) or math.isclose(norm, max_norm, rel_tol=1e-15)


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0, 3.0, math.inf])
def test_the_factor_is_right_for_measured_gradients(order):
    weight = nn.Parameter(zeros(3))
    weight.grad = tensor([3.0, -4.0, 12.0])
    strategy = GlobalNorm(max_norm=1.0, norm_type=order)

    # Infinity is not an order of `lp`, and needs none.
    p = order if math.isfinite(order) else 2.0
    statistics = measure([weight], strategy.needs, norm_type=p)
    norm = np.linalg.norm([3.0, 4.0, 12.0], ord=order)
    assert factor_of(strategy, statistics) == pytest.approx(1.0 / norm, rel=1e-12)


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_the_bound_must_be_positive(max_norm):
    with pytest.raises(ValueError, match="max_norm must be greater than 0; got"):
        GlobalNorm(max_norm)


@pytest.mark.parametrize("norm_type", [0.0, -2.0, math.nan])
def test_the_order_must_be_positive(norm_type):
    with pytest.raises(ValueError, match="norm_type must be greater than 0, or infinite; got"):
        GlobalNorm(norm_type=norm_type)

"""Whatever the gradients, a guard reports what was there and leaves what it promised."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradcore
import gradients
import oracle
import tables

VALUES = (0.5, 2.0, -3.0)
REPLACE = ("replace", dict(zip(("nan", "posinf", "neginf"), VALUES, strict=True)))

lists = st.lists(gradients.gradients(), min_size=1, max_size=4)
bounds = st.sampled_from([1e-3, 1.0, 50.0])


def guarded(tensors, **options):
    """The parameters, and the report of a guard that applied itself to them."""
    owners = gradients.parameters(tensors)
    return owners, gradcore.Guard(owners, **options).apply()


def left(owners):
    """The elements that a guard left, and the norm of all of them."""
    values = [gradients.elements(owner.grad) for owner in owners]
    return values, oracle.facts([value for row in values for value in row]).l2


@given(lists, bounds, st.sampled_from(["zero", REPLACE]))
def test_repair_and_clipping_leave_finite_gradients_within_the_bound(tensors, bound, policy):
    replacement = None if policy == "zero" else VALUES
    before = tables.expected(tensors, replacement=replacement)[-1]
    owners, report = guarded(tensors, nonfinite=policy, max_norm=bound)

    values, norm = left(owners)
    error = max(gradients.tolerance(tensor.dtype) for tensor in tensors)
    assert all(oracle.kind(value) == "finite" for row in values for value in row)
    assert report.norm == pytest.approx(before.l2, rel=error, abs=tables.SMALLEST)
    counts = (report.nonfinite.nan, report.nonfinite.posinf, report.nonfinite.neginf)
    assert counts == (before.nan, before.posinf, before.neginf)
    assert report.repaired == sum(counts)
    if math.isfinite(before.l2):
        wanted = pytest.approx(min(before.l2, bound), rel=error, abs=tables.SMALLEST)
        assert report.clipped_norm == wanted
        # Each element is rounded to its dtype, a subnormal one by half its smallest number.
        assert norm <= bound * 1.01 + 1e-5


@given(lists, st.sampled_from(["zero", "skip", REPLACE, "raise"]))
def test_clean_gradients_within_the_bound_keep_every_bit(tensors, policy):
    clean = [t for t in tensors if tables.expected([t])[-1].l2 < 1e300]
    finite = [t for t in clean if all(oracle.kind(e) == "finite" for e in gradients.elements(t))]
    if not finite:
        return
    before = [gradients.bits(tensor) for tensor in finite]

    owners, report = guarded(finite, nonfinite=policy, max_norm=1e301)
    assert [gradients.bits(owner.grad) for owner in owners] == before
    assert (report.clipped, report.skipped, report.scale) == (False, False, 1.0)


@given(lists, bounds)
def test_one_nonfinite_element_anywhere_is_a_skip(tensors, bound):
    facts = tables.expected(tensors)[-1]
    owners, report = guarded(tensors, max_norm=bound)

    assert report.skipped == (facts.nan + facts.posinf + facts.neginf > 0)
    assert all(owner.grad is None for owner in owners) == report.skipped
    if report.skipped and math.isfinite(facts.l2):
        assert report.norm == pytest.approx(facts.l2, rel=1e-6)


@given(lists, st.sampled_from([0.01, 1.0, 5.0]))
def test_the_norm_after_clamping_is_reported_as_it_is(tensors, limit):
    owners, report = guarded(tensors, nonfinite="zero", clip=("value", {"limit": limit}))

    values, norm = left(owners)
    assert report.clipped_norm == pytest.approx(norm, rel=1e-6, abs=tables.SMALLEST)
    largest = max((float(oracle.magnitude(v)) for row in values for v in row), default=0.0)
    assert largest <= limit * 1.01


@given(lists)
def test_the_row_of_each_parameter_is_its_own(tensors):
    report = guarded(tensors, nonfinite="detect", needs="all")[1]

    for row, facts in zip(report.parameters, tables.expected(tensors), strict=False):
        assert (row.numel, row.nan, row.posinf) == (facts.numel, facts.nan, facts.posinf)
        assert row.norm == pytest.approx(facts.l2, rel=1e-6, abs=tables.SMALLEST)
        assert row.max_abs == pytest.approx(facts.max_abs, rel=1e-6, abs=tables.SMALLEST)
        finite = facts.numel - facts.nan - facts.posinf - facts.neginf
        if finite and math.isfinite(facts.l1):
            mean = math.hypot(facts.sum, facts.sum_imag) / finite
            slack = 1e-6 * facts.l1 / finite + tables.SMALLEST
            assert abs(row.mean) == pytest.approx(mean, rel=0, abs=slack)

"""A strategy sees the gradients as the policy is going to leave them."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore
import gradients
from gradcore import core, plan
from gradcore.after_policy import after_policy

NEEDS = ("l1", "max_abs", "sum", "zeros", "lp")
SIZES = ("l1", "max_abs", "sum", "sum_imag", "lp", "l2")

LISTS = {
    "ordinary": [[3.0, math.nan, 0.0], [4.0, -2.0], [0.0, 12.0]],
    "huge": [[1e300, math.inf], [3e200, 0.0], [-4e200]],
    "tiny": [[-math.inf], [3e-200, -4e-200], [0.0]],
    "one is missing": [[1.0, math.nan], None, [2.0, 2.0]],
    "all are bad": [[math.nan, 5.0], [math.nan]],
    "none is bad": [[1.0, 2.0], [2.0]],
}


def owners_of(lists):
    tensors = [None if row is None else torch.tensor(row, dtype=torch.float64) for row in lists]
    empty = torch.zeros(2, dtype=torch.float64)
    return [gradients.parameter(t, empty if t is None else t) for t in tensors]


def measured(owners):
    return core.measure(owners, NEEDS, norm_type=3.0)


def assert_same(seen, truth):
    for name in SIZES:
        assert seen.row(name).tolist() == pytest.approx(truth.row(name).tolist(), rel=1e-14)
        assert float(seen.total(name)) == pytest.approx(float(truth.total(name)), rel=1e-12)


@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
def test_zeroed_parameters_are_seen_as_they_are_measured_afterwards(lists):
    owners = owners_of(lists)
    before = measured(owners)

    seen = after_policy(before, plan.ZeroParameters(), plan.Keep())
    core.apply_(owners, before.table, plan.Keep(), plan.ZeroParameters())
    truth = measured(owners)
    assert_same(seen, truth)
    assert seen.zeros.tolist() == truth.zeros.tolist()
    assert seen.nan.tolist() == before.nan.tolist()


@pytest.mark.parametrize("repair", [plan.ZeroElements(), plan.ZeroParameters()], ids=str)
@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
def test_scaled_gradients_are_seen_as_they_are_measured_afterwards(lists, repair):
    owners = owners_of(lists)
    before = measured(owners)
    bound = plan.Scale(torch.linspace(0.25, 1.0, len(owners), dtype=torch.float64))

    seen = after_policy(before, repair, bound)
    core.apply_(owners, before.table, bound, repair)
    assert_same(seen, measured(owners))


def test_where_the_policy_only_looks_nothing_is_copied():
    before = measured(owners_of(LISTS["ordinary"]))

    assert after_policy(before, plan.ZeroElements(), plan.Keep()) is before


def test_a_bound_is_met_after_a_policy_that_shrinks():
    """Else the gradient would be shrunk twice, and end below the bound."""

    class Half:
        name = "half"

        def __call__(self, statistics):
            return plan.Scale(torch.tensor(0.5, dtype=torch.float64))

    owner = gradients.parameter(torch.tensor([6.0, 8.0]))
    report = gradcore.Guard([owner], max_norm=2.0, nonfinite=Half()).apply()

    assert owner.grad.tolist() == pytest.approx([1.2, 1.6])
    assert report.clipped_norm == pytest.approx(2.0)


def test_nothing_is_left_of_an_infinite_norm_that_is_zeroed():
    largest = torch.finfo(torch.float64).max
    owners = owners_of([[largest] * 8 + [math.nan], [60.0, 80.0]])
    guard = gradcore.Guard(owners, max_norm=1.0, nonfinite="zero_parameter")

    report = guard.apply()

    assert (report.norm, report.clipped_norm) == (100.0, 1.0)
    assert owners[1].grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-15)

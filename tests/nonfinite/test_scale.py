"""Scale believes a gradient as far as it is finite."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gradcore
from gradcore import plan
from gradcore.nonfinite import Scale


@pytest.mark.parametrize(("step", "factor"), [("good", 1.0), ("bad", 0.7), ("bad_loss", 1.0)])
def test_the_factor_is_the_finite_share(request, step, factor):
    repair, bound = Scale()(request.getfixturevalue(step))

    assert repair == plan.ZeroElements()
    assert bound.factors.tolist() == [factor]


def guarded(*rows, **options):
    """Parameters with these gradients, and the report of a guard that applied itself to them."""
    owners = [nn.Parameter(torch.zeros(len(row))) for row in rows]
    for owner, row in zip(owners, rows, strict=True):
        owner.grad = torch.tensor(row)
    return owners, gradcore.Guard(owners, nonfinite="scale", **options).apply()


def test_faults_become_zero_and_the_rest_of_that_gradient_shrinks():
    owners, report = guarded([8.0, math.nan, 4.0, -math.inf], [2.0, 3.0])

    assert owners[0].grad.tolist() == [4.0, 0.0, 2.0, 0.0]
    assert owners[1].grad.tolist() == [2.0, 3.0]
    assert (report.repaired, report.skipped) == (2, False)
    assert [row.scale for row in report.parameters] == [0.5, 1.0]


def test_a_gradient_of_faults_alone_becomes_zero_and_one_without_elements_is_none():
    owners, report = guarded([math.nan, math.inf], [], [1.0])

    assert [owner.grad.tolist() for owner in owners] == [[0.0, 0.0], [], [1.0]]
    assert [row.scale for row in report.parameters] == [0.0, 1.0, 1.0]


def test_a_parameter_without_a_gradient_has_the_factor_one():
    owners = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    owners[1].grad = torch.ones(1)

    assert gradcore.Guard(owners, nonfinite="scale").apply().scale == 1.0


def test_clipping_bounds_what_is_left_to_rounding():
    """Half of the first is 3, the second is 4: their norm of 5 is brought to 1."""
    owners, report = guarded([6.0, math.nan], [4.0], max_norm=1.0)

    assert report.clipped_norm == pytest.approx(1.0, rel=1e-12)
    assert owners[0].grad.tolist() == pytest.approx([0.6, 0.0])
    assert owners[1].grad.tolist() == pytest.approx([0.8])


def test_a_bound_on_elements_comes_after_the_factor():
    owners, report = guarded([6.0, math.nan], [4.0], clip=("value", {"limit": 3.5}))

    assert [owner.grad.tolist() for owner in owners] == [[3.0, 0.0], [3.5]]
    assert report.clipped_norm == pytest.approx(math.hypot(3.0, 3.5), rel=1e-12)


def test_a_step_with_nothing_wrong_keeps_every_bit():
    """Norms of 3 and 4 are within a bound of 5, whichever way they are added up."""
    owners, report = guarded([3.0], [4.0], max_norm=5.0)

    assert [owner.grad.item() for owner in owners] == [3.0, 4.0]
    assert (report.scale, report.clipped, report.clipped_norm) == (1.0, False, 5.0)

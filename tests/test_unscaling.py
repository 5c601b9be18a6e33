"""Statistics of scaled gradients become those of unscaled ones, and a plan goes the way back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcore import core
from gradcore.decision import Decision
from gradcore.plan import Clamp, Keep, Propagate, Replace, Scale
from gradcore.unscaling import folded, unscaled


def measured(*rows):
    owners = [nn.Parameter(torch.zeros(len(row))) for row in rows]
    for owner, row in zip(owners, rows, strict=True):
        owner.grad = torch.tensor(row)
    return core.measure(owners, "all", norm_type=3.0)


def test_statistics_are_those_of_the_unscaled_gradients():
    rows = [[3.0, -4.0, 0.0], [float("inf"), 0.5, float("nan")]]
    scaled = [[number * 1024.0 for number in row] for row in rows]

    got, expected = unscaled(measured(*scaled), 1.0 / 1024.0), measured(*rows)
    torch.testing.assert_close(got.table, expected.table, rtol=1e-15, atol=0.0)
    torch.testing.assert_close(got.unit_l2, expected.unit_l2, rtol=1e-15, atol=0.0)
    torch.testing.assert_close(got.parameter_l2, expected.parameter_l2)


def test_what_is_unscaled_already_is_handed_on():
    statistics = measured([1.0])
    decision = Decision(Keep(), Propagate(), None, None)

    assert unscaled(statistics, 1.0) is statistics
    assert folded(decision, 1.0) == (decision.bound, decision.repair, None)


@pytest.mark.parametrize("bound", [Keep(), Clamp(2.0)], ids=str)
def test_bounds_without_factors_get_one(bound):
    got, repair, factors = folded(Decision(bound, Replace(1.0, 2.0, 3.0), None, None), 0.25)

    assert got is bound
    assert repair == Replace(4.0, 8.0, 12.0)
    assert factors.item() == 0.25


def test_factors_are_multiplied():
    bound = Scale(torch.tensor([0.5, 1.0], dtype=torch.float64))
    got, _, factors = folded(Decision(bound, Propagate(), None, None), 0.25)

    assert factors.tolist() == [0.125, 0.25]
    assert got.factors.tolist() == [0.125, 0.25]
    assert bound.factors.tolist() == [0.5, 1.0]

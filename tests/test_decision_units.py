"""Factors for units in the arrow: asked for, checked, carried out, and told in the report."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore
import gradients
from gradients import parameter, parameters


class Fixed:
    """A strategy that gives the same factors every time."""

    name = "fixed"
    needs = ("unit_l2",)

    def __init__(self, *factors, unit_axis=0):
        self.factors = torch.tensor(factors, dtype=torch.float64)
        self.unit_axis = unit_axis

    def __call__(self, statistics):
        self.seen = statistics
        return gradcore.ScaleUnits(self.factors)


class Policy:
    """A policy that returns these verbs every time."""

    name = "policy"

    def __init__(self, *verbs):
        self.verbs = verbs

    def __call__(self, statistics):
        return self.verbs


def owners_of(*rows):
    return parameters([torch.tensor(row) for row in rows])


def test_the_report_tells_the_smallest_factors_and_the_norm_that_is_left():
    """Units 5, 10 and 12 become 2.5, 10 and 3."""
    owners = owners_of([[3.0, 4.0], [6.0, 8.0]], [12.0])

    report = gradcore.Guard(owners, clip=Fixed(0.5, 1.0, 0.25)).apply()
    assert report.norm == pytest.approx(math.sqrt(269), rel=1e-12)
    assert report.clipped_norm == pytest.approx(math.sqrt(2.5**2 + 100 + 9), rel=1e-12)
    assert (report.scale, report.clipped) == (0.25, True)
    assert [row.scale for row in report.parameters] == [0.5, 0.25]
    assert gradcore.measure(owners).norm.item() == pytest.approx(report.clipped_norm, rel=1e-6)


def test_factors_of_one_are_no_clipping():
    owners = owners_of([[3.0, 4.0], [0.0, 0.0]])

    report = gradcore.Guard(owners, clip=Fixed(1.0, 1.0)).apply()
    assert (report.norm, report.clipped_norm, report.scale, report.clipped) == (5, 5, 1.0, False)


def test_the_norm_that_is_left_of_huge_units_is_no_infinity():
    owners = owners_of([[3e200, 0.0], [4e200, 0.0]])
    owners[0].grad = None
    owners[0] = parameter(torch.tensor([[3e200, 0.0], [0.0, 8e200]], dtype=torch.float64))

    report = gradcore.Guard(owners, clip=Fixed(1.0, 0.5)).apply()
    assert report.clipped_norm == pytest.approx(5e200, rel=1e-12)


def test_the_axis_of_units_is_the_strategys():
    owners = owners_of([[3.0, 8.0], [4.0, 6.0]])
    strategy = Fixed(1.0, 0.5, unit_axis=1)

    report = gradcore.Guard(owners, clip=strategy).apply()
    assert strategy.seen.unit_l2.tolist() == [5.0, 10.0]
    assert owners[0].grad.tolist() == [[3.0, 4.0], [4.0, 3.0]]
    assert report.clipped_norm == pytest.approx(math.sqrt(50), rel=1e-12)


def test_two_axes_of_units_cannot_be_measured_in_one_step():
    class Check:
        name = "check"
        needs = ("parameter_unit_l2",)
        unit_axis = 1

        def __call__(self, report, history):
            return ()

    with pytest.raises(ValueError, match=r"one axis only; asked for \[0, 1\]"):
        gradcore.Guard(owners_of([[1.0]]), clip=Fixed(1.0), checks=[Check()])


@pytest.mark.parametrize("factors", [0.5, [0.5, 1.0]], ids=["for all", "for each"])
def test_a_factor_of_the_policy_multiplies_those_of_units(factors):
    owners = owners_of([[3.0, 4.0], [6.0, 8.0]], [12.0])
    scale = gradcore.Scale(torch.tensor(factors, dtype=torch.float64))
    strategy = Fixed(0.5, 1.0, 0.25)

    guard = gradcore.Guard(owners, nonfinite=Policy(gradcore.ZeroElements(), scale), clip=strategy)
    report = guard.apply()
    last = 1.0 if factors == [0.5, 1.0] else 0.5
    assert strategy.seen.unit_l2.tolist() == [2.5, 5.0, 12.0 * last]
    assert owners[0].grad.tolist() == [[0.75, 1.0], [3.0, 4.0]]
    assert owners[1].grad.tolist() == [3.0 * last]
    assert report.clipped_norm == pytest.approx(gradcore.measure(owners).norm.item(), rel=1e-6)


def test_units_of_a_zeroed_parameter_are_seen_as_zero():
    owners = owners_of([[3.0, math.nan], [6.0, 8.0]], [[3.0, 4.0]])
    strategy = Fixed(0.5, 0.5, 1.0)

    policy = Policy(gradcore.ZeroParameters())
    report = gradcore.Guard(owners, nonfinite=policy, clip=strategy).apply()
    assert strategy.seen.unit_l2.tolist() == [0.0, 0.0, 5.0]
    assert owners[0].grad.tolist() == [[0.0, 0.0]] * 2
    assert (report.norm, report.clipped_norm) == (5.0, 5.0)


def refuse(match, **options):
    owners = owners_of([[8.0, 1.0], [2.0, 1.0]])
    before = gradients.bits(owners[0].grad)
    with pytest.raises(gradcore.PluginError, match=match):
        gradcore.Guard(owners, **options).apply()
    assert gradients.bits(owners[0].grad) == before


@pytest.mark.parametrize("factors", [(0.5,), (0.5, 0.5, 0.5)], ids=["too few", "too many"])
def test_there_is_one_factor_for_each_unit(factors):
    refuse("'fixed' returned ScaleUnits.*each of the 2 units", clip=Fixed(*factors))


@pytest.mark.parametrize("factor", [math.nan, 1.0 + 2.0**-52, -1.0, math.inf])
def test_factors_of_units_lie_between_zero_and_one(factor):
    refuse("'fixed'.*0 to 1", clip=Fixed(0.5, factor))


def test_who_did_not_ask_for_units_cannot_scale_them():
    strategy = Fixed(0.5, 0.5)
    strategy.needs = ()

    refuse("'fixed' returned ScaleUnits.*add 'unit_l2'", clip=strategy)


def test_a_policy_has_no_factors_for_units():
    refuse("policy 'fixed' returned ScaleUnits", nonfinite=Fixed(0.5, 0.5), clip="value")


def test_a_skipped_step_scales_nothing():
    owners = owners_of([[math.nan, 1.0], [2.0, 1.0]])

    report = gradcore.Guard(owners, clip=Fixed(0.5, 0.5)).apply()
    assert (report.skipped, report.scale) == (True, 1.0)
    assert [row.scale for row in report.parameters] == [1.0]

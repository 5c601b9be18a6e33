"""`Statistics` hands out what was measured, and says how to get what was not."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

import gradcore
from gradcore import core
from gradients import parameter, parameters

OPTIONAL = ("l1", "max_abs", "sum", "zeros", "lp", "parameter_l2", "unit_l2", "parameter_unit_l2")


@pytest.fixture
def owners():
    return parameters([torch.tensor([3.0, -4.0, 0.0]), torch.tensor([3 + 4j, math.nan])])


@pytest.mark.parametrize("name", OPTIONAL)
def test_what_was_not_measured_says_what_to_ask_for(name, owners):
    with pytest.raises(AttributeError, match=f"{name}.*'{name}'.*needs"):
        getattr(gradcore.measure(owners), name)


@pytest.mark.parametrize("name", OPTIONAL)
def test_what_was_asked_for_is_there_alone(name, owners):
    statistics = gradcore.measure(owners, (name,))

    assert getattr(statistics, name).shape == (2,)
    for other in set(OPTIONAL) - {name}:
        with pytest.raises(AttributeError):
            getattr(statistics, other)


def test_the_imaginary_sum_comes_with_the_sum(owners):
    assert gradcore.measure(owners, ("sum",)).sum_imag.tolist() == [0.0, 4.0]
    with pytest.raises(AttributeError, match="add 'sum' to"):
        gradcore.measure(owners).sum_imag  # noqa: B018


@pytest.mark.parametrize("needs", ["all", OPTIONAL, list(OPTIONAL), iter(OPTIONAL)])
def test_all_of_them_can_be_asked_for(needs, owners):
    statistics = gradcore.measure(owners, needs)

    assert statistics.l1.tolist() == [7.0, 5.0]
    assert statistics.max_abs.tolist() == [4.0, 5.0]
    assert statistics.sum.tolist() == [-1.0, 3.0]
    assert statistics.zeros.tolist() == [1, 0]
    assert statistics.lp.tolist() == [5.0, 5.0]
    assert statistics.parameter_l2.tolist() == [0.0, 0.0]
    assert statistics.unit_l2.tolist() == [5.0, 5.0]
    assert statistics.parameter_unit_l2.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("fault", [None, math.nan, math.inf, -math.inf])
def test_what_is_known_of_all_follows_from_each(fault):
    """And goes on to, in statistics that are made of these."""
    owners = parameters([torch.tensor([3.0, 0.0]), torch.tensor([4.0])])
    twice = gradcore.measure(parameters([torch.tensor([8.0])])).table
    if fault is not None:
        owners[0].grad[1] = fault
    statistics = gradcore.measure(owners)

    assert (statistics.norm.item(), statistics.total("l2").item()) == (5.0, 5.0)
    assert statistics.trusted.item() is (fault is None)
    assert statistics.untrusted.item() is (fault is not None)
    for flag in (statistics.trusted, statistics.untrusted):
        assert (flag.dtype, flag.shape) == (torch.bool, ())
    other = dataclasses.replace(statistics, table=twice, trusted=torch.tensor(False))
    assert (other.norm.item(), other.untrusted.item()) == (8.0, True)
    for either in (statistics, other):
        assert either.totals()[:6] == either.table[:6, -1].tolist()


def test_totals_are_of_the_row_that_is_asked_for():
    table = core.measure_table(parameters([torch.ones(3)]), ("l1", "max_abs"))

    totals = core.totals(table, "l1")
    assert (totals.finite.item(), totals.nonfinite.item(), totals.total.item()) == (
        True,
        False,
        3.0,
    )
    assert core.totals(table, "max_abs").total.item() == 1.0


def test_what_is_always_there(owners):
    statistics = gradcore.measure(owners)

    assert statistics.present.tolist() == [True, True]
    assert statistics.numel.tolist() == [3, 2]
    assert statistics.nonfinite.tolist() == [0, 1]
    assert statistics.l2.tolist() == [5.0, 5.0]
    assert statistics.norm.item() == pytest.approx(math.sqrt(50), rel=1e-15)
    assert not statistics.trusted


def test_numbers_are_float64_wherever_the_gradients_are_narrow():
    statistics = gradcore.measure([parameter(torch.ones(3, dtype=torch.bfloat16))], "all")

    assert statistics.table.dtype is torch.float64
    assert statistics.norm.ndim == statistics.trusted.ndim == 0
    assert statistics.trusted.dtype is torch.bool


def test_the_norm_of_the_parameters_themselves():
    owner = torch.nn.Parameter(torch.tensor([6.0, 8.0]))
    owner.grad = torch.tensor([1.0, 0.0])

    statistics = gradcore.measure([owner], ("parameter_l2",))
    assert statistics.parameter_l2.tolist() == [10.0]
    assert statistics.l2.tolist() == [1.0]


def test_a_name_that_nobody_knows_is_an_error_that_lists_the_known(owners):
    with pytest.raises(ValueError, match=r"max_abs.*'median'"):
        gradcore.measure(owners, ("median",))
    with pytest.raises(AttributeError, match=r"median.*max_abs"):
        gradcore.measure(owners).row("median")


@pytest.mark.parametrize(
    ("option", "value"),
    [("overflow", 0.0), ("overflow", math.nan), ("norm_type", 0.0), ("norm_type", -2.0)],
)
def test_options_that_cannot_be_are_refused_by_name(option, value, owners):
    with pytest.raises(ValueError, match=option):
        gradcore.measure(owners, ("lp",), **{option: value})

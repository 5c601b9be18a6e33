"""A `Report` holds the numbers of one step and nothing else, and they are right."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle

import pytest
import torch

import gradcore
from gradients import make, parameter

NAMES = ("first", "second", "third")


def report(*tensors, loss=None, **options):
    """The report of a guard that applies itself to these gradients."""
    owners = [parameter(tensor) for tensor in tensors]
    return gradcore.Guard(zip(NAMES, owners, strict=False), **options).apply(loss=loss)


def test_a_good_step():
    got = report(torch.tensor([3.0, 4.0]), torch.zeros(2), max_norm=10.0, loss=0.5)

    assert (got.norm, got.clipped_norm, got.scale, got.clipped) == (5.0, 5.0, 1.0, False)
    assert (got.skipped, got.restored, got.repaired, got.nonfinite.total) == (False, False, 0, 0)
    assert (got.loss, got.healthy, got.stability, got.step) == (0.5, True, 1.0, 0)
    assert (got.first_nonfinite, got.last_clean, tuple(got.findings)) == (None, None, ())


def test_a_clipped_step():
    got = report(torch.tensor([3.0, 4.0]), max_norm=1.25)

    assert (got.norm, got.clipped_norm, got.scale, got.clipped) == (5.0, 1.25, 0.25, True)
    assert got.stability == 0.5
    assert [row.scale for row in got.parameters] == [0.25]


def test_a_skipped_step_tells_the_norm_of_what_was_finite():
    got = report(torch.tensor([math.nan, 3.0]), torch.tensor([math.inf, -4.0]), max_norm=1.0)

    assert (got.norm, got.skipped, got.repaired) == (5.0, True, 0)
    assert (got.nonfinite.nan, got.nonfinite.posinf, got.nonfinite.neginf) == (1, 1, 0)
    assert not got.healthy
    assert got.stability == pytest.approx((2 / 4) ** 4 / 2)


def test_a_repaired_step_tells_the_norm_after_repair():
    got = report(torch.tensor([math.nan, 3.0]), torch.tensor([math.inf, -4.0]), nonfinite="zero")

    assert (got.norm, got.skipped, got.repaired) == (5.0, False, 2)
    assert got.stability == pytest.approx((2 / 4) ** 4)
    values = ("replace", {"posinf": 12.0})
    assert report(torch.tensor([3.0, math.inf, -4.0]), nonfinite=values).norm == 13.0


@pytest.mark.parametrize("fault", [math.nan, math.inf])
def test_what_goes_through_shows_in_the_norm(fault):
    """The norm is that of the gradients as the optimizer will see them."""
    got = report(torch.tensor([fault, 3.0]), nonfinite="propagate")

    assert got.norm == pytest.approx(fault, nan_ok=True)
    assert (got.skipped, got.repaired) == (False, 0)


def test_the_norm_after_clamping_is_that_of_the_clamped_gradients():
    got = report(torch.tensor([3.0, -4.0]), torch.tensor([0.5]), clip=("value", {"limit": 1.0}))

    assert got.norm == pytest.approx(math.sqrt(25.25), rel=1e-12)
    assert got.clipped_norm == pytest.approx(1.5, rel=1e-12)
    assert got.clipped
    assert not report(torch.tensor([0.5]), clip=("value", {"limit": 1.0})).clipped


@pytest.mark.parametrize("fault", [math.inf, -math.inf])
def test_an_infinity_that_is_clamped_was_clipped(fault):
    """1 + 0.25 + 1 under the root."""
    owner = parameter(torch.tensor([fault, 0.5, -1.0]))
    clip = ("value", {"limit": 1.0})

    got = gradcore.Guard([owner], clip=clip, nonfinite="propagate").apply()
    assert owner.grad.tolist() == [math.copysign(1.0, fault), 0.5, -1.0]
    assert (got.norm, got.clipped, got.nonfinite.total) == (math.inf, True, 1)
    assert got.clipped_norm == pytest.approx(1.5, rel=1e-12)


def test_what_is_finite_beyond_overflow_is_in_the_norm_where_it_stays():
    """3e6 and 4e6 are above 1e6, so they are events; 5e6 is what the optimizer will see."""
    got = report(torch.tensor([3e6, 4e6]), nonfinite=("detect", {"overflow": 1e6}))

    assert (got.norm, got.clipped_norm, got.clipped, got.scale) == (5e6, 5e6, False, 1.0)
    assert (got.nonfinite.posinf, got.repaired, got.skipped) == (2, 0, False)
    assert not got.healthy
    one = report(torch.tensor([1e7]), nonfinite=("detect", {"overflow": 1e6}), max_norm=1e9)
    assert (one.norm, one.clipped_norm, one.clipped) == (1e7, 1e7, False)


def test_the_smallest_of_several_factors_is_the_scale():
    class Halves:
        name = "halves"

        def __call__(self, statistics):
            factors = torch.tensor([0.5, 1.0, 0.25], dtype=torch.float64)
            return gradcore.Scale(factors.expand(statistics.l2.shape))

    got = report(torch.tensor([8.0]), torch.tensor([3.0]), torch.tensor([0.0]), clip=Halves())
    assert got.scale == 0.25
    assert [row.scale for row in got.parameters] == [0.5, 1.0, 0.25]
    assert got.clipped_norm == 5.0


def test_rows_tell_what_was_measured_and_none_otherwise():
    got = report(torch.tensor([3.0, -1.0, math.inf, 4.0]), nonfinite="zero")

    row = got.parameters[0]
    assert (row.name, row.numel, row.posinf, row.nan, row.neginf) == ("first", 4, 1, 0, 0)
    assert row.norm == pytest.approx(math.sqrt(26), rel=1e-12)
    assert (row.max_abs, row.mean, row.std) == (None, None, None)


def test_rows_of_a_guard_that_needs_everything():
    """Mean 2 of 3, -1, 4; squares 26; variance 26/3 - 4."""
    got = report(torch.tensor([3.0, -1.0, math.nan, 4.0]), needs="all")

    row = got.parameters[0]
    assert row.max_abs == 4.0
    assert row.mean == pytest.approx(2.0, rel=1e-12)
    assert row.std == pytest.approx(math.sqrt(14 / 3), rel=1e-12)


def test_values_that_were_put_in_count_as_elements_of_a_row():
    """Mean of 3 and 10, squares 109, variance 54.5 - 42.25."""
    values = ("replace", {"nan": 10.0})
    got = report(torch.tensor([3.0, math.nan]), nonfinite=values, needs="all")

    row = got.parameters[0]
    assert (row.nan, row.max_abs) == (1, 10.0)
    assert row.mean == pytest.approx(6.5, rel=1e-12)
    assert row.std == pytest.approx(3.5, rel=1e-9)


def test_complex_rows_tell_the_modulus_of_the_mean():
    """Mean of 3+4j and 1-4j is 2; mean square (25 + 17) / 2 = 21; 21 - 4 = 17."""
    got = report(make([3 + 4j, 1 - 4j], torch.complex64), needs="all")

    row = got.parameters[0]
    assert row.numel == 2
    assert row.max_abs == 5.0
    assert row.mean == pytest.approx(2.0, rel=1e-12)
    assert row.std == pytest.approx(math.sqrt(17), rel=1e-12)


@pytest.mark.parametrize(
    ("bad", "first", "clean"),
    [
        ((1, 0, 0), "first", "second"),
        ((1, 1, 0), "second", "third"),
        ((0, 0, 1), "third", None),
        ((1, 0, 1), "third", None),
        ((0, 0, 0), None, None),
    ],
)
def test_the_first_to_go_bad_is_the_last_in_model_order(bad, first, clean):
    """Gradients flow from the last parameter to the first."""
    got = report(*(torch.tensor([math.nan if sick else 1.0]) for sick in bad))

    assert (got.first_nonfinite, got.last_clean) == (first, clean)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_has_no_stability(loss):
    got = report(torch.ones(1), loss=loss)

    assert (got.stability, got.healthy, got.skipped) == (0.0, False, True)


def test_it_is_frozen_and_holds_numbers_alone():
    got = report(torch.ones(2), loss=torch.tensor(2.0), needs="all")

    with pytest.raises(dataclasses.FrozenInstanceError):
        got.norm = 0.0
    json.dumps(got.to_dict())
    assert pickle.loads(pickle.dumps(got)).to_dict() == got.to_dict()  # noqa: S301


def test_every_number_of_it_is_in_the_dictionary():
    got = report(torch.tensor([math.nan, 1.0]), nonfinite="zero", loss=1.0)

    plain = got.to_dict()
    assert plain["nonfinite"] == {"nan": 1, "posinf": 0, "neginf": 0, "total": 1}
    assert plain["parameters"][0]["name"] == "first"
    for name in ("step", "norm", "clipped_norm", "scale", "clipped", "repaired", "skipped"):
        assert plain[name] == getattr(got, name)
    for name in ("restored", "loss", "first_nonfinite", "last_clean", "healthy", "stability"):
        assert plain[name] == getattr(got, name)


def test_it_reads_as_one_line_and_sums_up_in_several():
    got = report(torch.tensor([math.nan, 300.0]), max_norm=1.0, loss=0.25)

    line = str(got)
    assert "\n" not in line
    for word in ("step 0", "300", "0.25", "skipped", "first"):
        assert word in line
    assert len(got.summary().splitlines()) > 1
    assert "1 NaN" in got.summary()


def test_no_gradients_at_all_are_a_step_of_norm_zero():
    owner = torch.nn.Parameter(torch.ones(2))

    got = gradcore.Guard([owner], max_norm=1.0, needs="all").apply()
    assert (got.norm, got.clipped_norm, got.clipped, got.healthy) == (0.0, 0.0, False, True)
    assert got.parameters[0].numel is None


def test_a_row_tells_the_norm_of_the_parameter_itself_where_it_was_measured():
    owner = torch.nn.Parameter(torch.tensor([3.0, 4.0, math.nan]))
    owner.grad = torch.ones(3)

    got = gradcore.Guard([owner], needs="parameter_l2").apply()
    assert got.parameters[0].parameter_norm == 5.0
    assert (got.nonfinite_parameters.nan, got.nonfinite_parameters.total) == (1, 1)
    assert (got.nonfinite.total, got.healthy) == (0, False)
    owner.grad = torch.ones(3)
    unasked = gradcore.Guard([owner]).apply()
    assert unasked.parameters[0].parameter_norm is None
    assert (unasked.nonfinite_parameters.total, unasked.healthy) == (0, True)


def test_the_dictionary_holds_what_is_known_of_parameters_and_the_loss_scale():
    got = report(torch.ones(2), needs="parameter_l2")

    plain = dataclasses.replace(got, loss_scale=1024.0).to_dict()
    assert plain["nonfinite_parameters"] == {"nan": 0, "posinf": 0, "neginf": 0, "total": 0}
    assert plain["loss_scale"] == 1024.0
    assert got.loss_scale is None
    assert set(plain) == {field.name for field in dataclasses.fields(got)}
    row = {field.name for field in dataclasses.fields(got.parameters[0])}
    assert set(plain["parameters"][0]) == row

"""Where torch's clipping destroys gradients, the drop-in functions do not, unless asked to."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore
import gradients
from gradients import make, parameter, parameters

EPSILON = 1e-6
BFLOAT16_MAX = 3.3895313892515355e38


@pytest.mark.parametrize(
    ("values", "dtype", "norm", "clipped"),
    [
        ([1e20] * 8, torch.float32, 2.8284271e20, 0.35355339),
        ([3e38, 3e38], torch.float32, math.inf, 0.70710678),
        ([BFLOAT16_MAX] * 4, torch.bfloat16, math.inf, 0.5),
        ([60000.0] * 1000, torch.float16, 1897366.596, 0.0316227766),
        ([1e200] * 4, torch.float64, 2e200, 0.5),
        ([1e20 + 1e20j], torch.complex64, 1.4142136e20, 0.70710678 + 0.70710678j),
    ],
    ids=["float32", "norm beyond float32", "bfloat16", "float16", "float64", "complex64"],
)
def test_norms_that_overflow_in_torch_clip_right(values, dtype, norm, clipped):
    owner = parameter(make(values, dtype))

    assert gradcore.clip_grad_norm_([owner], 1.0).item() == pytest.approx(norm, rel=1e-6)
    narrow = 4e-3 if dtype is torch.bfloat16 else 5e-4 if dtype is torch.float16 else 1e-6
    expected = pytest.approx(clipped, rel=narrow)
    assert gradients.elements(owner.grad) == [expected] * len(values)


def test_finite_gradients_whose_norm_no_float64_can_hold_are_not_destroyed():
    owner = parameter(make([1.7e308, -1.7e308, 0.0], torch.float64))

    gradcore.clip_grad_norm_([owner], 1.0)
    large, small, zero = owner.grad.tolist()
    assert math.isfinite(large)
    assert (large > 0, small, zero) == (True, -large, 0.0)


def test_norms_that_underflow_in_torch_clip_right():
    """Of the first torch finds 0 and changes nothing; the second it zeroes."""
    owner = parameter(torch.full((4,), 1e-25))
    assert gradcore.clip_grad_norm_([owner], 1.0).item() == pytest.approx(2e-25, rel=1e-6)

    small = parameter(torch.full((4,), 2.0**-24, dtype=torch.float16))
    assert gradcore.clip_grad_norm_([small], 1.0).item() == 2.0**-23


def test_norms_that_lose_digits_in_torch_do_not():
    ones = parameter(torch.ones(7000, dtype=torch.bfloat16))
    assert gradcore.clip_grad_norm_([ones], math.inf).item() == pytest.approx(83.666002653)

    many = [torch.full((2**22,), 1e-4) for _ in range(4)]
    assert gradcore.get_total_norm(many).item() == pytest.approx(0.4095999899, rel=1e-7)


def test_the_factor_is_that_of_torch():
    owner = parameter(torch.tensor([3.0, 4.0]))

    gradcore.clip_grad_norm_([owner], 1.0)
    factor = 1.0 / (5.0 + EPSILON)
    assert owner.grad.tolist() == torch.tensor([3 * factor, 4 * factor]).tolist()


def test_a_bound_above_the_norm_changes_no_bit():
    owner = parameter(torch.tensor([3.0, 4.0, -0.0, 1e-45]))
    before = gradients.bits(owner.grad)

    gradcore.clip_grad_norm_([owner], 5.1)
    assert gradients.bits(owner.grad) == before


def test_empty_tensors_have_a_maximum_norm_of_zero():
    assert gradcore.clip_grad_norm_([parameter(torch.empty(0))], 1.0, math.inf).item() == 0.0
    assert gradcore.get_total_norm([torch.empty(0, 3)], math.inf).item() == 0.0


def test_all_zero_gradients_stay_zero():
    owner = parameter(torch.tensor([0.0, -0.0]))
    before = gradients.bits(owner.grad)

    assert gradcore.clip_grad_norm_([owner], 1.0).item() == 0.0
    assert gradients.bits(owner.grad) == before


def test_mixed_dtypes_are_each_clipped_in_their_own():
    dtypes = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.complex64)
    owners = parameters(torch.ones(2, dtype=dtype) for dtype in dtypes)

    assert gradcore.clip_grad_norm_(owners, 1.0).item() == pytest.approx(math.sqrt(10), rel=1e-15)
    for owner in owners:
        assert owner.grad.dtype is owner.dtype
        assert owner.grad[0].item() == pytest.approx(math.sqrt(0.1), rel=4e-3)


@pytest.mark.parametrize(("fault", "rest"), [(math.nan, math.nan), (math.inf, 0.0)])
def test_propagating_does_what_torch_does(fault, rest):
    owners = parameters([torch.tensor([fault, 1.0]), torch.tensor([2.0])])

    norm = gradcore.clip_grad_norm_(owners, 1.0).item()
    assert norm == pytest.approx(abs(fault), nan_ok=True)
    assert math.isnan(owners[0].grad[0])
    assert owners[1].grad.item() == pytest.approx(rest, nan_ok=True)


def test_an_infinite_bound_changes_nothing_nan_included():
    owner = parameter(torch.tensor([math.nan, math.inf, -0.0, 2.0]))
    before = gradients.bits(owner.grad)

    assert math.isnan(gradcore.clip_grad_norm_([owner], math.inf).item())
    assert gradients.bits(owner.grad) == before


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
def test_zeroing_clips_what_is_left(norm_type):
    owners = parameters([torch.tensor([math.nan, 3.0]), torch.tensor([-math.inf, 4.0])])
    power = {1.0: 7.0, 2.0: 5.0, 3.0: 91 ** (1 / 3), math.inf: 4.0}[norm_type]

    norm = gradcore.clip_grad_norm_(owners, 1.0, norm_type, nonfinite="zero").item()
    assert norm == pytest.approx(power, rel=1e-7)
    assert owners[0].grad.tolist() == [0.0, pytest.approx(3 / power, rel=1e-6)]
    assert owners[1].grad.tolist() == [0.0, pytest.approx(4 / power, rel=1e-6)]


def test_raising_names_the_error_and_changes_nothing():
    owner = parameter(torch.tensor([math.nan, 3.0]))
    before = gradients.bits(owner.grad)

    with pytest.raises(gradcore.NonfiniteGradientError, match="1 of 2 elements"):
        gradcore.clip_grad_norm_([owner], 1.0, nonfinite="raise")
    assert gradients.bits(owner.grad) == before


@pytest.mark.parametrize("fault", [math.nan, math.inf])
def test_skipping_leaves_gradients_and_says_why(fault):
    owner = parameter(torch.tensor([fault, 30.0]))
    before = gradients.bits(owner.grad)

    norm = gradcore.clip_grad_norm_([owner], 1.0, nonfinite="skip").item()
    assert norm == pytest.approx(fault, nan_ok=True)
    assert gradients.bits(owner.grad) == before


def test_skipping_clips_what_is_finite():
    owner = parameter(torch.tensor([3.0, 4.0]))

    gradcore.clip_grad_norm_([owner], 1.0, nonfinite="skip")
    assert owner.grad.norm().item() == pytest.approx(1.0, rel=1e-5)


def test_an_unknown_way_with_nonfinite_elements_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"propagate.*zero.*raise.*skip.*got 'ignore'"):
        gradcore.clip_grad_norm_([parameter(torch.ones(1))], 1.0, nonfinite="ignore")


def test_a_limit_beyond_the_dtype_brings_infinities_to_its_largest_number():
    """Rounded to float16, the limit of 1e5 would be infinite itself."""
    owners = parameters(make(values, torch.float16) for values in ([math.inf, 1.0], [-math.inf]))

    gradcore.clip_grad_value_(owners, 1e5)
    assert [owner.grad.tolist() for owner in owners] == [[65504.0, 1.0], [-65504.0]]

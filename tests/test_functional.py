"""The drop-in functions do what torch's do on finite gradients, and better where torch is wrong."""

from __future__ import annotations

import inspect
import math
import warnings

import pytest
import torch

import gradcore
import gradients
from gradients import name_of, parameter, parameters

NORM_TYPES = (0.5, 1.0, 1.5, 2.0, 4.0, math.inf)
NAMES = ("clip_grad_norm_", "clip_grad_value_", "get_total_norm", "clip_grads_with_norm_")


def pair(*tensors):
    """The same gradients twice: for gradcore and for torch."""
    return parameters(t.clone() for t in tensors), parameters(t.clone() for t in tensors)


def gradients_of(owners):
    return [owner.grad.tolist() for owner in owners]


@pytest.mark.parametrize("name", NAMES)
def test_arguments_have_the_names_order_and_defaults_of_torch(name):
    ours = list(inspect.signature(getattr(gradcore, name)).parameters.values())
    theirs = list(inspect.signature(getattr(torch.nn.utils, name)).parameters.values())

    expected = [(p.name, p.default, p.kind) for p in theirs]
    assert [(p.name, p.default, p.kind) for p in ours][: len(theirs)] == expected


@pytest.mark.parametrize("norm_type", NORM_TYPES)
@pytest.mark.parametrize("foreach", [None, True, False])
@pytest.mark.parametrize("max_norm", [0.0, 0.1, 5.0, 1e6])
def test_finite_gradients_are_clipped_as_torch_clips_them(norm_type, foreach, max_norm):
    ours, theirs = pair(torch.randn(3, 5), torch.randn(()), torch.randn(7).double())

    norm = gradcore.clip_grad_norm_(ours, max_norm, norm_type, foreach=foreach)
    reference = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type, foreach=foreach)
    assert norm.item() == pytest.approx(reference.item(), rel=1e-5)
    assert (norm.dtype, norm.shape) == (reference.dtype, reference.shape)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("norm_type", NORM_TYPES)
@pytest.mark.parametrize("foreach", [None, True, False])
def test_total_norms_are_those_of_torch(norm_type, foreach):
    tensors = [torch.randn(20), torch.randn(2, 3)]

    norm = gradcore.get_total_norm(tensors, norm_type, foreach=foreach)
    reference = torch.nn.utils.get_total_norm(tensors, norm_type, foreach=foreach)
    torch.testing.assert_close(norm, reference, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("foreach", [None, True, False])
@pytest.mark.parametrize("norm", [0.5, 2.0])
def test_gradients_are_clipped_with_a_norm_from_elsewhere(foreach, norm):
    ours, theirs = pair(torch.randn(4), torch.randn(2, 2))

    gradcore.clip_grads_with_norm_(ours, 1.0, torch.tensor(norm), foreach)
    torch.nn.utils.clip_grads_with_norm_(theirs, 1.0, torch.tensor(norm), foreach)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("foreach", [None, True, False])
@pytest.mark.parametrize("dtype", gradients.REAL, ids=name_of)
def test_values_are_clipped_as_torch_clips_them(foreach, dtype):
    faults = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 0.3], dtype=dtype)
    ours, theirs = pair(faults, torch.randn(9).to(dtype))

    assert gradcore.clip_grad_value_(ours, 0.75, foreach) is None
    torch.nn.utils.clip_grad_value_(theirs, 0.75, foreach)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0, equal_nan=True)


def test_complex_values_are_clipped_along_their_phase():
    owner = parameter(torch.tensor([3 + 4j, 0.3j, -30.0]))

    gradcore.clip_grad_value_(owner, 1.0)
    expected = torch.tensor([0.6 + 0.8j, 0.3j, -1.0])
    torch.testing.assert_close(owner.grad, expected, rtol=1e-6, atol=0)


def test_a_single_tensor_a_list_and_a_generator_are_the_same():
    norms = []
    for wrap in (lambda p: p, lambda p: [p], lambda p: (q for q in [p]), lambda p: {p}):
        owner = parameter(torch.tensor([3.0, 4.0]))
        norms.append(gradcore.clip_grad_norm_(wrap(owner), 1.0).item())
        assert owner.grad.norm().item() == pytest.approx(1.0, rel=1e-5)
    assert norms == [5.0] * 4
    assert gradcore.get_total_norm(torch.tensor([3.0, 4.0])).item() == 5.0


def test_an_empty_list_has_a_norm_of_zero_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        norm = gradcore.clip_grad_norm_([], 1.0)
        gradcore.clip_grad_norm_(torch.nn.ParameterList(), 1.0)
    assert (norm.item(), norm.dtype, norm.shape) == (0.0, torch.float32, ())


def test_an_exhausted_generator_is_worth_a_warning():
    generator = torch.nn.Linear(1, 1).parameters()
    list(generator)

    with pytest.warns(UserWarning, match="`parameters` is an empty generator"):
        norm = gradcore.clip_grad_norm_(generator, 1.0)
    assert norm.item() == 0.0


def test_parameters_without_gradients_have_a_norm_of_zero():
    assert gradcore.clip_grad_norm_(torch.nn.Linear(2, 2).parameters(), 1.0).item() == 0.0


@pytest.mark.parametrize("fault", [math.nan, math.inf, -math.inf])
def test_error_if_nonfinite_raises_before_anything_is_changed(fault):
    owner = parameter(torch.tensor([3.0, fault]))
    before = gradients.bits(owner.grad)

    with pytest.raises(RuntimeError, match=r"order 2\.0 .*non-finite"):
        gradcore.clip_grad_norm_([owner], 1.0, error_if_nonfinite=True)
    with pytest.raises(RuntimeError, match="non-finite"):
        gradcore.get_total_norm([owner.grad], error_if_nonfinite=True)
    assert gradients.bits(owner.grad) == before


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_bounds_below_zero_and_nan_are_errors(bad):
    owner = parameter(torch.ones(1))

    with pytest.raises(ValueError, match="max_norm"):
        gradcore.clip_grad_norm_([owner], bad)
    with pytest.raises(ValueError, match="clip_value"):
        gradcore.clip_grad_value_([owner], bad)
    with pytest.raises(ValueError, match="max_norm"):
        gradcore.clip_grads_with_norm_([owner], bad, torch.tensor(1.0))


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ([torch.float16], torch.float32),
        ([torch.bfloat16, torch.float32], torch.float32),
        ([torch.complex64], torch.float32),
        ([torch.float32, torch.float64], torch.float64),
        ([torch.complex128], torch.float64),
    ],
)
def test_norms_are_float32_unless_a_gradient_is_wider(dtypes, expected):
    tensors = [torch.ones(2, dtype=dtype) for dtype in dtypes]

    assert gradcore.get_total_norm(tensors).dtype is expected
    assert gradcore.clip_grad_norm_(parameters(tensors), 1.0).dtype is expected


def test_a_wide_parameter_without_a_gradient_widens_nothing():
    wide = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))

    norm = gradcore.clip_grad_norm_([wide, parameter(torch.ones(2))], 1.0)
    assert norm.dtype is torch.float32


def test_a_norm_next_to_zero_is_clipped_with_the_epsilon_of_torch():
    ours, theirs = (parameter(torch.tensor([3e-6, 4e-6], dtype=torch.float64)) for _ in range(2))

    gradcore.clip_grad_norm_([ours], 2e-6)
    torch.nn.utils.clip_grad_norm_([theirs], 2e-6)
    assert ours.grad.tolist() == pytest.approx([1e-6, 4e-6 / 3], rel=1e-12)
    assert ours.grad.tolist() == pytest.approx(theirs.grad.tolist(), rel=1e-12)

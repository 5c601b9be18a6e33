"""`normalize` gives unit vectors of any finite input but zero, and gradients that are finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gradcore.numerics import normalize

EXTREMES = [1e-45, 1e-38, 1e-20, 1e-8, 1.0, 1e10, 1e20, 3e38]


@pytest.mark.parametrize("size", EXTREMES)
def test_rows_have_length_one_however_long_they_were(size):
    x = torch.tensor([[size, -size, size, 0.0]], requires_grad=True)

    y = normalize(x)
    assert y.detach()[0].tolist() == pytest.approx([3**-0.5, -(3**-0.5), 3**-0.5, 0.0], rel=1e-6)
    y[0, 0].backward()
    assert x.grad.isfinite().all()


def test_a_zero_row_stays_zero_and_gets_no_gradient():
    x = torch.zeros(2, 3, requires_grad=True)

    y = normalize(x)
    y.sum().backward()
    assert torch.equal(y, torch.zeros(2, 3))
    assert torch.equal(x.grad, torch.zeros(2, 3))


def test_random_rows_agree_with_double_precision():
    x = torch.randn(50, 33)
    wide = x.double().numpy()

    expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    assert normalize(x).double().numpy() == pytest.approx(expected, abs=2e-7)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_gradcheck_along_any_axis(dim):
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(lambda x: normalize(x, dim), (x,))
    assert torch.autograd.gradgradcheck(lambda x: normalize(x, dim), (x,))


def test_gradcheck_of_complex_vectors():
    x = torch.randn(3, 4, dtype=torch.complex128, requires_grad=True)

    assert torch.autograd.gradcheck(normalize, (x,))


@pytest.mark.parametrize("size", [1e-44, 1e-38, 1e-30, 1e30, 3e38])
def test_complex_rows_have_length_one_however_long_they_were(size):
    """A magnitude of 3e38 * sqrt(2) is beyond float32, and so are squares on the way."""
    x = torch.tensor([[complex(size, -size), 0.0]], requires_grad=True)

    y = normalize(x)
    expected = complex(0.5**0.5, -(0.5**0.5))
    assert y.detach()[0].tolist() == pytest.approx([expected, 0.0], rel=1e-6)
    torch.testing.assert_close(normalize(x.conj()), y.conj())
    y.real.sum().backward()
    assert x.grad.isfinite().all()


def test_the_gradient_of_a_short_row_is_that_of_a_row_of_length_eps():
    """(1, 0) times 1e-12 turns by the gradient (0, 1) at the rate 1 / eps, not 1e12."""
    x = torch.tensor([[1e-12, 0.0]], dtype=torch.float64, requires_grad=True)

    normalize(x, eps=1e-4)[0, 1].backward()
    assert x.grad.tolist() == [[0.0, pytest.approx(1e4, rel=1e-12)]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_are_computed_in_float32_and_returned_as_they_came(dtype):
    x = torch.tensor([[3e4, 4e4], [3e-7, 4e-7]]).to(dtype)

    y = normalize(x)
    assert y.dtype == dtype
    wide = x.double().numpy()
    expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    assert y.double().numpy() == pytest.approx(expected, rel=4e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_nonfinite_row_is_nan_and_alone(bad):
    y = normalize(torch.tensor([[bad, 1.0], [3.0, 4.0]]))

    assert y[0].isnan().all()
    assert y[1].tolist() == pytest.approx([0.6, 0.8])


def test_integers_are_refused_with_the_cure():
    with pytest.raises(TypeError, match=r"x must be of a floating dtype; got torch.int64. Use"):
        normalize(torch.arange(3))


@pytest.mark.parametrize("eps", [0.0, -1.0, math.nan])
def test_eps_must_be_positive(eps):
    with pytest.raises(ValueError, match="eps must be finite and greater than 0; got"):
        normalize(torch.ones(2), eps=eps)

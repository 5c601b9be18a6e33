"""`safe_sqrt` is sqrt(|x| + eps), with a finite derivative everywhere."""

from __future__ import annotations

import math

import pytest
import torch

from gradcore.numerics import safe_sqrt


@pytest.mark.parametrize("x", [-4.0, -1e-9, 0.0, 1e-30, 2.0, 1e300])
def test_it_is_the_root_of_the_magnitude_plus_eps(x):
    root = safe_sqrt(torch.tensor(x, dtype=torch.float64), eps=1e-6)

    assert root.item() == pytest.approx(math.sqrt(abs(x) + 1e-6), rel=1e-15)


def test_the_derivative_at_zero_is_zero_where_that_of_torch_is_infinite():
    x = torch.zeros(1, requires_grad=True)
    x.sqrt().backward()
    assert x.grad.item() == math.inf

    x.grad = None
    safe_sqrt(x).backward()
    assert x.grad.item() == 0.0


def test_the_derivative_is_bounded_by_half_the_inverse_root_of_eps():
    x = torch.tensor([-1e-12, 1e-40, 1e-12], requires_grad=True)

    safe_sqrt(x, eps=1e-8).sum().backward()
    assert x.grad.abs().max().item() <= 0.5e4 * (1 + 1e-6)


def test_gradcheck():
    x = torch.tensor([-2.0, -0.3, 0.4, 5.0], dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(safe_sqrt, (x,))


def test_an_eps_below_float16_still_counts_there():
    x = torch.zeros(1, dtype=torch.float16)

    assert safe_sqrt(x).item() == pytest.approx(1e-4, rel=1e-3)
    assert safe_sqrt(x).dtype == torch.float16


def test_integers_are_refused():
    with pytest.raises(TypeError, match=r"x must be of a floating dtype; got torch.int64"):
        safe_sqrt(torch.arange(3))


def test_eps_must_be_positive():
    with pytest.raises(ValueError, match="eps must be finite and greater than 0; got 0"):
        safe_sqrt(torch.ones(1), eps=0.0)


def test_complex_numbers_are_refused():
    with pytest.raises(TypeError, match=r"x must be real; got torch.complex64"):
        safe_sqrt(torch.ones(1, dtype=torch.complex64))

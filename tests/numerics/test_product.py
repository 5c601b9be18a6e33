"""The product form holds nothing larger than its result."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import joint
from gradcore.numerics.product import (
    aligned_product,
    joint_product,
    joint_product_of_logs,
    product_factors,
)


@pytest.mark.parametrize("sizes", [(2, 5), (3, 2, 4), (1, 3, 3, 2), (2, 3, 2, 3, 2)])
@pytest.mark.parametrize("function", [joint_product, joint_product_of_logs])
def test_sets_may_differ_in_size(function, sizes):
    rows = [torch.randn(size, 6, dtype=torch.float64) for size in sizes]

    letters = joint.LETTERS[: len(sizes)]
    equation = ",".join(f"{x}z" for x in letters) + f"->{letters}"
    expected = np.einsum(equation, *(x.numpy() for x in rows))
    assert function(rows).numpy() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_aligned_product_is_the_diagonal():
    rows = [torch.randn(4, 6, dtype=torch.float64) for _ in range(3)]

    torch.testing.assert_close(aligned_product(rows), torch.einsum("az,az,az->a", *rows))


def test_the_factors_are_products_of_halves():
    left, right = product_factors([torch.ones(3, 2)] * 5)

    assert (left.shape, right.shape) == ((27, 2), (9, 2))


def test_the_gradient_of_logs_is_that_of_the_product_wherever_zeros_are():
    rows = [torch.randn(3, 5, dtype=torch.float64) for _ in range(4)]
    for x in rows:
        x[torch.rand(3, 5) < 0.3] = 0.0
    rows[2][1] = 0.0
    weights = torch.randn(3, 3, 3, 3, dtype=torch.float64)
    for x in rows:
        x.requires_grad_()

    ours, plain = (
        torch.autograd.grad((function(rows) * weights).sum(), rows)
        for function in (joint_product_of_logs, joint_product)
    )
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-14)

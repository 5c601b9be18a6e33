"""The product form: sums over the embedding of products of one row from each set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor


def joint_product(rows: Sequence[Tensor]) -> Tensor:
    """``sum_z x_1[a, z] x_2[b, z] …`` for every choice of rows: ``[B_1, …, B_n]``.

    One matrix product of two halves of the sets, so nothing larger than the result is held.
    """
    left, right = product_factors(rows)
    return (left @ right.T).reshape([len(x) for x in rows])


def product_factors(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Matrices ``[P, D]`` and ``[Q, D]``, of which ``left @ right.T`` is the joint product.

    Products of every choice of rows from the first half of the sets, and from the second.
    """
    left, right = _halves(rows)
    return reduce(_products, left).flatten(0, -2), reduce(_products, right).flatten(0, -2)


def joint_product_of_logs(rows: Sequence[Tensor]) -> Tensor:
    """`joint_product` by products of magnitude 1 and sums of logarithms, exponentiated at the end.

    No product on the way overflows, and none underflows that is not below rounding.  A result
    beyond the dtype saturates, and so does a factor of the gradient that is.
    """
    (left, left_log), (right, right_log) = (_scaled_products(half) for half in _halves(rows))
    exponent = left_log[:, None] + right_log
    largest = torch.finfo(exponent.dtype).max
    most = math.log(largest) - math.log(rows[0].shape[-1]) - 1.0
    within = exponent.clamp(max=most)
    joint = (left @ right.T) * within.exp()
    with torch.no_grad():
        # A small sum may be within the dtype when the factor that it lacks is not.
        beyond = (exponent - within).clamp(max=most).exp()
        missing = (joint * beyond).clamp(-largest, largest) - joint
    return (joint + missing).reshape([len(x) for x in rows])


def aligned_product(rows: Sequence[Tensor]) -> Tensor:
    """The same where the rows are of one index in all sets: ``[B]``."""
    return reduce(torch.mul, rows).sum(-1)


def _halves(rows: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    middle = (len(rows) + 1) // 2
    return rows[:middle], rows[middle:]


def _products(x: Tensor, y: Tensor) -> Tensor:
    """Of ``[…, D]`` and ``[B, D]``: ``[…, B, D]``."""
    return x[..., None, :] * y


def _scaled_products(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Products of one row from each set ``[P, D]``, and the logarithms ``[P]`` of what they lack.

    The factors that are taken out count as constants in the derivative, since they are put back.
    """
    products, lacking = rows[0].new_ones(1, 1), rows[0].new_zeros(1)
    for row in rows:
        x, log = _scaled(row)
        products, more = _scaled(_products(products, x))
        lacking = lacking[..., None] + log + more
    return products.flatten(0, -2), lacking.flatten()


def _scaled(x: Tensor) -> tuple[Tensor, Tensor]:
    """Divide vectors by their largest magnitude, 1 for zero: ``[…, D]``, and its logarithm."""
    largest = x.detach().abs().amax(-1, keepdim=True)
    largest = torch.where(largest > 0, largest, 1.0)
    return x / largest, largest[..., 0].log()

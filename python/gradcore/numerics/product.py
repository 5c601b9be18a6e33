"""The product form: sums over the embedding of products of one row from each set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Final

import torch
from torch import Tensor

FLOOR: Final = 1e-20
"""Smallest magnitude whose logarithm is taken, relative to the largest of its row: far below
rounding, and far enough above underflow that the derivative ``product / x`` is right at zero."""


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
    """`joint_product` by signs and sums of logarithms, exponentiated at the end.

    No product on the way overflows or underflows.  A result beyond the dtype saturates.
    """
    (left, left_log), (right, right_log) = (_scaled_products(half) for half in _halves(rows))
    joint = left @ right.T
    largest = math.log(torch.finfo(joint.dtype).max) - math.log(rows[0].shape[-1]) - 1.0
    joint = joint * (left_log[:, None] + right_log).clamp(max=largest).exp()
    return joint.reshape([len(x) for x in rows])


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
    logs, signs, lacking = rows[0].new_zeros(1), rows[0].new_ones(1), rows[0].new_zeros(())
    for row in rows:
        largest = row.detach().abs().amax(-1, keepdim=True)
        largest = torch.where(largest > 0, largest, 1.0)
        x = row / largest
        with torch.no_grad():
            raised = x.abs().clamp(min=FLOOR).copysign(x) - x
        x = x + raised
        logs = logs[..., None, :] + x.abs().log()
        signs = signs[..., None, :] * x.detach().sign()
        lacking = lacking[..., None] + largest[:, 0].log()
    logs, signs = logs.flatten(0, -2), signs.flatten(0, -2)
    highest = logs.detach().amax(-1, keepdim=True)
    return signs * (logs - highest).exp(), lacking.flatten() + highest[:, 0]

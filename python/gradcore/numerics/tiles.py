"""Log-sum-exps of the rows and columns of a matrix product, which is never held."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd import Function

from gradcore.numerics.first_order import require_first_order

TILE: Final = {"cpu": (256, 2048)}
"""Rows and columns at a time: 2 MiB of float32, about what a core has to itself."""

LARGE_TILE: Final = (4096, 16384)
"""On a device that wants to be kept busy: 256 MiB."""


def tiled_marginals(
    left: Tensor, right: Tensor, scale: Tensor, clamp: tuple[float, float] | None, rows: int
) -> tuple[Tensor, Tensor]:
    """Log-sum-exps of ``scale * clamp(left @ right.T)``, over its columns and over its rows.

    What flash attention does in one direction, in two: T. Dao et al., "FlashAttention: Fast and
    Memory-Efficient Exact Attention with IO-Awareness", NeurIPS 2022, section 3.1; the gradient
    computes each tile once more.  Differentiable once.

    Args:
        left: ``[P, D]``.
        right: ``[Q, D]``.
        scale: 0-d.
        clamp: Smallest and largest element of the product, or None.
        rows: At most so many rows at a time, >= 1.

    Returns:
        ``[P]`` and ``[Q]``.
    """
    most, columns = TILE.get(left.device.type, LARGE_TILE)
    tile = (min(rows, most), columns)
    return _Tiled.apply(left, right, scale, clamp, tile)  # type: ignore[no-any-return, no-untyped-call]


class _Tiled(Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes by position
        ctx: Any,
        left: Tensor,
        right: Tensor,
        scale: Tensor,
        clamp: tuple[float, float] | None,
        tile: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        of_rows = left.new_full((len(left),), -math.inf)
        of_columns = left.new_full((len(right),), -math.inf)
        for some, others in _pieces(left, right, tile):
            logits = left[some] @ right[others].T
            logits = logits.clamp_(*clamp).mul_(scale) if clamp else logits.mul_(scale)
            for total, part in ((of_rows[some], 1), (of_columns[others], 0)):
                torch.logaddexp(total, logits.logsumexp(part), out=total)
        ctx.save_for_backward(left, right, scale, of_rows, of_columns)
        ctx.clamp, ctx.tile = clamp, tile
        return of_rows, of_columns

    @staticmethod
    def backward(
        ctx: Any, row_gradient: Tensor, column_gradient: Tensor
    ) -> tuple[Tensor | None, ...]:
        require_first_order()
        left, right, scale, of_rows, of_columns = ctx.saved_tensors
        to_left, to_right = torch.zeros_like(left), torch.zeros_like(right)
        to_scale = torch.zeros_like(scale)
        for some, others in _pieces(left, right, ctx.tile):
            similarity = left[some] @ right[others].T
            inside = None
            if ctx.clamp:
                inside = (similarity >= ctx.clamp[0]) & (similarity <= ctx.clamp[1])
                similarity.clamp_(*ctx.clamp)
            logits = scale * similarity
            # Softmax along the columns and along the rows, each times the gradient of its sum.
            weights = (logits - of_rows[some, None]).exp_().mul_(row_gradient[some, None])
            logits.sub_(of_columns[others]).exp_().mul_(column_gradient[others])
            weights.add_(logits)
            to_scale += (weights * similarity).sum()
            if inside is not None:
                weights.mul_(inside)
            to_left[some].addmm_(weights, right[others])
            to_right[others].addmm_(weights.T, left[some])
        return to_left.mul_(scale), to_right.mul_(scale), to_scale, None, None


def _pieces(left: Tensor, right: Tensor, tile: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    rows, columns = tile
    for row in range(0, len(left), rows):
        for column in range(0, len(right), columns):
            yield slice(row, row + rows), slice(column, column + columns)

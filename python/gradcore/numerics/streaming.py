"""Log-sum-exps of a joint tensor that is made, and made once more for the gradient, in slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import Function

from gradcore.numerics.first_order import require_first_order

Partial: TypeAlias = Callable[[slice, Sequence[Tensor]], list[Tensor]]
"""From some rows of the first set, and the inputs: for these rows, and for each of the other sets,
the log-sum-exps over everything else.  Must not depend on anything else that wants a gradient."""


def streamed_marginals(
    partial: Partial, inputs: Sequence[Tensor], *, sets: int, count: int, step: int
) -> Tensor:
    """Call ``partial`` on ``step`` rows at a time, and join what it returns: ``[sets, count]``.

    Memory is that of one call, and of the result.  Differentiable once.
    """
    return _Streamed.apply(partial, sets, count, step, *inputs)  # type: ignore[no-any-return, no-untyped-call]


class _Streamed(Function):
    """Results go into memory that was there before the first slice.

    Small tensors that stay, allocated in between large ones that go, keep the heap from being used
    again: glibc's grew by a slice with every slice.
    """

    @staticmethod
    def forward(
        ctx: Any, partial: Partial, sets: int, count: int, step: int, *inputs: Tensor
    ) -> Tensor:
        totals = inputs[0].new_full((sets, count), -math.inf)
        for piece in _pieces(count, step):
            first, *others = partial(piece, inputs)
            totals[0, piece] = first
            for total, other in zip(totals[1:], others, strict=True):
                torch.logaddexp(total, other, out=total)
        ctx.partial, ctx.step = partial, step
        ctx.save_for_backward(totals, *inputs)
        return totals

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        require_first_order()
        totals, *inputs = ctx.saved_tensors
        sums = [torch.zeros_like(x) for x in inputs]
        for piece in _pieces(totals.shape[1], ctx.step):
            leaves = [x.detach().requires_grad_() for x in inputs]
            with torch.enable_grad(), torch.autocast(totals.device.type, enabled=False):
                first, *others = ctx.partial(piece, leaves)
            # Each slice has its share of the sum over all.
            with torch.no_grad():
                shares = (torch.stack(others) - totals[1:]).exp() * gradient[1:]
            found = torch.autograd.grad([first, *others], leaves, [gradient[0, piece], *shares])
            for number, part in enumerate(found):
                sums[number] += part
        return None, None, None, None, *sums


def _pieces(count: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, count, step))

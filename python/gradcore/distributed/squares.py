"""Sums of squares of norms that neither overflow nor underflow, in plain float64 sums.

Three accumulators, for large, middling and small numbers, as in J. L. Blue, "A Portable Fortran
Program to Find the Euclidean Norm of a Vector", ACM TOMS 4(1), 1978.  Scaling by powers of two is
exact.  The bounds leave room for 2^23 summands.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

HUGE: Final = 2.0**500
TINY: Final = 2.0**-500
FAR: Final = 2.0**600
"""Large numbers are divided by it before they are squared, and small ones multiplied."""


def split(norms: Tensor) -> Tensor:
    """The squares of ``[n]`` numbers, at least 0: float64 ``[3, n]``, to be added at will."""
    huge, tiny = norms > HUGE, norms < TINY
    zero = norms.new_zeros(())
    return torch.stack(
        (
            torch.where(huge, norms / FAR, zero).square(),
            torch.where(huge | tiny, zero, norms).square(),
            torch.where(tiny, norms * FAR, zero).square(),
        )
    )


def join(squares: Tensor) -> Tensor:
    """The root of sums of what `split` gave: ``[3, n]`` to ``[n]``."""
    huge, middling, tiny = squares
    away = 1.0 / FAR / FAR  # squares too small for it do not matter beside the others
    with_huge = (huge + middling * away).sqrt() * FAR
    without = (middling + tiny * away).sqrt()
    return torch.where(huge > 0, with_huge, torch.where(middling > 0, without, tiny.sqrt() / FAR))

"""The scale of a `GradScaler` on a device: a step goes by it before the host knows it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from gradcore.unscaling import unscaled

if TYPE_CHECKING:
    from gradcore.statistics import Statistics

SMALLEST: Final = torch.finfo(torch.float32).tiny
"""Of the scales that something can be divided by."""

LARGEST: Final = torch.finfo(torch.bfloat16).max
"""Gradients of every dtype but float16 hold numbers up to it."""


class ScaleOnDevice:
    """What follows from a loss scale, without a look at it.

    Args:
        scale: The scale, float32 and 0-d.
        flags: 1 where the scaler found something itself, when it unscaled; float32 and 0-d each.
        scaled: Whether gradients have yet to be divided by the scale.
    """

    def __init__(self, scale: Tensor, flags: list[Tensor], *, scaled: bool) -> None:
        self._usable = (scale >= SMALLEST) & scale.isfinite()
        factor = scale.double().reciprocal().float().double() if scaled else torch.ones_like(scale)
        self.factor: Tensor = torch.where(self._usable, factor, 1.0).double()
        """What gradients have yet to be multiplied by; rounded like the scaler's own."""
        found = torch.zeros_like(scale, dtype=torch.bool)
        for flag in flags:
            found = found | (flag.to(scale.device, non_blocking=True) > 0)
        self._scale, self._found = scale, found
        self.impossible: Tensor = ~self._usable
        """0-d bool: gradients cannot be unscaled, so nothing but a skip is possible."""

    def unscaled(self, statistics: Statistics) -> Statistics:
        """Statistics of unscaled gradients; not to be trusted where there can be none.

        Multiplied by more than 1, finite numbers may become infinite. Where the norm does not rule
        that out, there is a skip.
        """
        table = statistics.table
        factor, usable = (
            t.to(table.device, non_blocking=not table.is_cpu) for t in (self.factor, self._usable)
        )
        told = unscaled(statistics, factor)
        fits = (factor <= 1.0) | (told.norm <= LARGEST)
        self.impossible = ~(usable & fits)
        return replace(told, trusted=told.trusted & usable & fits)

    def found(self, statistics: Statistics) -> Tensor:
        """0-d bool: whether the scaler alone would skip the step."""
        counts: Tensor = statistics.table[2:5, -1].sum()
        here = self._found.to(counts.device, non_blocking=not counts.is_cpu)
        return (counts > 0) | here | self.impossible

    def told(self) -> Tensor:
        """What the host has to be told: scale, what the scaler found, and what is impossible."""
        flags = [self._found, self.impossible.to(self._scale.device, non_blocking=True)]
        return torch.stack([self._scale.double(), *(flag.double() for flag in flags)])

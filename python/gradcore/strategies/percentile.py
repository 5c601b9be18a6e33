"""Clipping by a percentile of recent norms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from gradcore.plan import Scale
from gradcore.validation import require_between, require_count
from gradcore.window import Window

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


class Percentile(nn.Module):
    """Scale all gradients alike so that their joint norm is at most a percentile of recent norms.

    The bound is the percentile of the last ``window`` norms before this step, interpolated
    linearly.  It follows the training by itself, so it suits where nobody knows a good bound.

    Args:
        percentile: 0 to 100; about 100 - ``percentile`` of 100 steps are clipped.
        window: Norms remembered, >= 1.
        warmup: No clipping before so many norms are known, 1 to ``window``.

    Raises:
        ValueError: An option is out of its range.
    """

    name: ClassVar[str] = "percentile"

    def __init__(self, percentile: float = 95.0, window: int = 100, warmup: int = 10) -> None:
        super().__init__()
        self.percentile: float = require_between("percentile", percentile, 0.0, 100.0)
        self.warmup: int = require_count("warmup", warmup)
        if self.warmup > require_count("window", window):
            raise ValueError(f"warmup must be at most window={window}; got {warmup}.")
        self.norms: Window = Window(window)

    def forward(self, statistics: Statistics) -> Scale:
        bound = self.norms.quantile(self.percentile / 100.0)
        bound = torch.where(self.norms.count >= self.warmup, bound, math.inf)
        self.norms.push(statistics.norm, statistics.learnable)
        return Scale.within(bound, statistics.norm)

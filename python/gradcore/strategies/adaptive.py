"""Clipping by a bound that minds how often it clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from gradcore.plan import Scale
from gradcore.validation import (
    require_between,
    require_count,
    require_nonnegative,
    require_positive,
)
from gradcore.window import Window

if TYPE_CHECKING:
    from gradcore.statistics import Statistics

LOWEST, HIGHEST = 0.5, 3.0
"""Of the multiplier: it can neither wind up until a spike passes, nor choke the training."""


class Adaptive(nn.Module):
    """Scale all gradients alike by a bound that keeps the share of clipped steps near a target.

    The bound is ``max(floor, m P)`` with P a percentile of the last ``window`` norms before this
    step and m a multiplier in [1/2, 3] that starts at 1.  After each step m grows by the factor
    ``1 + rate`` if more than ``target_rate`` of the last ``window`` steps were clipped, and shrinks
    by it if fewer were.  So clipping can neither be excessive nor vanish, and a new level of norms
    is followed within a window.

    Args:
        window: Norms remembered, >= 1.
        percentile: 0 to 100.
        target_rate: Share of clipped steps to aim at, 0 to 1.
        rate: By how much m changes in a step, > 0.
        floor: Smallest bound, >= 0, in the unit of the gradient.

    Raises:
        ValueError: An option is out of its range.
    """

    name: ClassVar[str] = "adaptive"

    multiplier: Tensor
    """The m, float64, 0-d."""

    def __init__(
        self,
        window: int = 100,
        percentile: float = 95.0,
        target_rate: float = 0.05,
        rate: float = 0.1,
        floor: float = 1e-3,
    ) -> None:
        super().__init__()
        self.percentile: float = require_between("percentile", percentile, 0.0, 100.0)
        self.target_rate: float = require_between("target_rate", target_rate, 0.0, 1.0)
        self.rate: float = require_positive("rate", rate)
        self.floor: float = require_nonnegative("floor", floor)
        self.norms: Window = Window(require_count("window", window))
        self.clipped: Window = Window(window)
        self.register_buffer("multiplier", torch.ones((), dtype=torch.float64))

    def forward(self, statistics: Statistics) -> Scale:
        norm, learnable, m = statistics.norm, statistics.learnable, self.multiplier
        # Infinite, so that nothing is clipped, while there is no norm.
        bound = (m * self.norms.quantile(self.percentile / 100.0)).clamp(min=self.floor)
        self.norms.push(norm, learnable)
        self.clipped.push((norm > bound).double(), learnable)
        share = self.clipped.mean()
        more = torch.where(share > self.target_rate, m * (1.0 + self.rate), m)
        changed = torch.where(share < self.target_rate, m / (1.0 + self.rate), more)
        # Assigned: what is written in place to a 0-d float64 is lost by torch.compile (2.13).
        self.multiplier = torch.where(learnable, changed.clamp(LOWEST, HIGHEST), m)
        return Scale.within(bound, norm)

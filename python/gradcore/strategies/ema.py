"""Clipping by an exponential moving average of norms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from gradcore.plan import Scale
from gradcore.validation import require_nonnegative, require_positive, require_weight

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


class Ema(nn.Module):
    """Scale all gradients alike so that their joint norm is at most a multiple of the usual one.

    The bound is ``max(floor, factor * mean)`` with the mean as it was before the step.  The mean
    learns the norm as it was clipped, ``mean <- alpha mean + (1 - alpha) min(norm, bound)``, so
    that one huge spike cannot lift the bound for hundreds of steps, while a level that stays is
    reached: the mean may grow by ``1 + (1 - alpha) (factor - 1)`` a step.  It begins with the first
    norm, which is not clipped.

    Args:
        alpha: Weight of the past, at least 0 and less than 1; the memory of about
            ``1 / (1 - alpha)`` steps.
        factor: Bound in units of the mean, > 0.
        floor: Smallest bound, >= 0, in the unit of the gradient.

    Raises:
        ValueError: An option is out of its range.
    """

    name: ClassVar[str] = "ema"

    mean: Tensor
    """float64, 0-d; 0 until there is a norm to learn from."""

    def __init__(self, alpha: float = 0.9, factor: float = 2.0, floor: float = 0.1) -> None:
        super().__init__()
        self.alpha: float = require_weight("alpha", alpha)
        self.factor: float = require_positive("factor", factor)
        self.floor: float = require_nonnegative("floor", floor)
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))

    def forward(self, statistics: Statistics) -> Scale:
        begun = self.mean > 0
        bound = torch.where(begun, (self.factor * self.mean).clamp(min=self.floor), math.inf)
        norm = torch.minimum(statistics.norm, bound)
        learned = torch.where(begun, self.alpha * self.mean + (1.0 - self.alpha) * norm, norm)
        # Assigned: what is written in place to a 0-d float64 is lost by torch.compile (2.13).
        self.mean = torch.where(statistics.learnable, learned, self.mean)
        return Scale.within(bound, statistics.norm)

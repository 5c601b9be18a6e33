"""A gradcore plugin: clipping by the median of the parameters' gradient norms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from gradcore import ClipStrategy, Scale, Statistics, hookimpl


@dataclass(frozen=True, slots=True)
class MedianClip:
    """Scale each gradient down to ``times`` the median norm of all gradients.

    Gradients that are zero or missing do not enter the median.

    Args:
        times: Largest norm of a gradient in units of the median, finite and > 0.

    Raises:
        ValueError: ``times`` is NaN, infinite, zero or negative.
    """

    name: ClassVar[str] = "median_of_parameters"

    times: float = 10.0

    def __post_init__(self) -> None:
        if not 0.0 < self.times < math.inf:
            raise ValueError(f"times must be finite and greater than 0; got {self.times}.")

    def __call__(self, statistics: Statistics) -> Scale:
        norms = statistics.l2
        bound = self.times * torch.where(norms > 0, norms, torch.nan).nanquantile(0.5)
        # NaN only where there is no gradient at all, so that there is nothing to bound.
        return Scale((bound / norms).nan_to_num(nan=1.0).clamp(max=1.0))


@hookimpl
def gradcore_clip_strategies() -> list[type[ClipStrategy]]:
    """Offer `MedianClip`."""
    return [MedianClip]

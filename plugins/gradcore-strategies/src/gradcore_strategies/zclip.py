"""Clipping of norms that stand out by their z-score."""

from __future__ import annotations

import math
import sys
from typing import ClassVar

import torch
from torch import Tensor, nn

from gradcore import Scale, Statistics
from gradcore_strategies.options import require_count, require_positive, require_weight

LARGEST = sys.float_info.max


class ZClip(nn.Module):
    """Scale all gradients alike where their joint norm lies far above its moving average.

    With mean m and standard deviation s of the norm g so far, ``z = (g - m) / (s + eps)``.  Where z
    is above the threshold t, g is a spike, and its target ``clip_factor (m + t^2 s / z)``: the
    further out it is, the closer to the mean.  Gradients are scaled by ``bound / (g + 1e-6)`` where
    g exceeds ``bound = min(target, max_norm)``.  Mean and variance are moving averages that learn
    the target of a spike instead of the spike.

    During the first ``warmup`` steps ``max_norm`` alone bounds, and the mean and the variance of
    the population are taken of what is seen.  A spike in there makes the strategy blind for a while
    afterwards: keep a ``max_norm``.

    Args:
        alpha: Weight of the past, at least 0 and less than 1.
        z_threshold: The t, > 0.
        warmup: Steps of it, >= 1.
        eps: Added to the standard deviation, > 0, in the unit of the gradient.
        max_norm: Largest joint norm allowed in any case, > 0; None for no such bound.
        clip_factor: Of the target, > 0.

    Raises:
        ValueError: An option is out of its range.

    Source:
        A. Kumar, L. Owen, N. Roy Chowdhury and F. Güra, "ZClip: Adaptive Spike Mitigation for LLM
        Pre-Training", 2025, arXiv:2504.02507, section 3, with the defaults, ``max_norm`` and
        ``clip_factor`` of the authors' code (github.com/bluorion-com/ZClip).  That code takes the
        norm in the dtype of the parameters and learns from every step, so that one NaN in a
        gradient makes mean and variance NaN for good; and it does not save them.
    """

    name: ClassVar[str] = "zclip"

    mean: Tensor
    """The m; float64, 0-d."""

    std: Tensor
    """The s, whose square might overflow; float64, 0-d."""

    seen: Tensor
    """Steps learnt from; int64, 0-d."""

    def __init__(
        self,
        alpha: float = 0.97,
        z_threshold: float = 2.5,
        warmup: int = 25,
        *,
        eps: float = 1e-6,
        max_norm: float | None = 1.0,
        clip_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.alpha = require_weight("alpha", alpha)
        self.z_threshold = require_positive("z_threshold", z_threshold)
        self.warmup = require_count("warmup", warmup)
        self.eps = require_positive("eps", eps)
        self.max_norm = math.inf if max_norm is None else require_positive("max_norm", max_norm)
        self.clip_factor = require_positive("clip_factor", clip_factor)
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("std", torch.zeros((), dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, statistics: Statistics) -> Scale:
        norm = statistics.norm.clamp(max=LARGEST)
        z = (norm - self.mean) / (self.std + self.eps)
        spike = (self.seen >= self.warmup) & (z > self.z_threshold)
        reached = self.clip_factor * (self.mean + self.z_threshold**2 * self.std / z)
        target = torch.where(spike, reached, norm)
        bound = target.clamp(max=self.max_norm)
        self._learn(target, statistics.learnable)
        return Scale(torch.where(norm > bound, bound / (norm + 1e-6), 1.0))

    def _learn(self, norm: Tensor, when: Tensor) -> None:
        """Welford's recurrence during warm-up, moving averages afterwards, of roots throughout."""
        warming = self.seen < self.warmup
        count = (self.seen + 1).double()
        share = torch.where(warming, 1.0 / count, 1.0 - self.alpha)
        mean = torch.where(
            warming,
            self.mean + (norm - self.mean) / count,
            self.alpha * self.mean + (1.0 - self.alpha) * norm,
        )
        # Of a population of n the new value adds (norm - old mean)^2 (n - 1) / n^2.
        away = torch.where(warming, (norm - self.mean) * (1.0 - share).sqrt(), norm - mean)
        std = torch.hypot((1.0 - share).sqrt() * self.std, share.sqrt() * away)
        # Assigned: what is written in place to a 0-d float64 is lost by torch.compile (2.13).
        self.mean = torch.where(when, mean, self.mean)
        self.std = torch.where(when, std, self.std)
        self.seen.add_(when)

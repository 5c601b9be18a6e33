"""Clipping by a multiple of the median norm."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from gradcore import Scale, Statistics, Window
from gradcore_strategies.options import require_count, require_positive

EARLY = (10, 20, 40)
"""Steps of the first estimates, while norms may change rapidly: of twice the scale."""


class MedianNorm(nn.Module):
    """Scale all gradients alike so that their joint norm is at most a multiple of its median.

    The bound is ``scale`` times the median of the last ``period`` norms, this one included; it is
    worked out every ``period`` steps, and at first after 10, 20 and 40 steps with twice the scale.
    Before that nothing is clipped.  No number of spikes below half of all steps moves it far.

    Args:
        scale: Bound in units of the median, > 0.
        period: Steps between estimates, and norms remembered; >= 1.

    Raises:
        ValueError: An option is out of its range.

    Source:
        ``ScaledAdam._get_clipping_scale`` in icefall (github.com/k2-fsa/icefall,
        egs/librispeech/ASR/zipformer/optim.py), with its defaults.  There the norm is of gradients
        times the root mean square of their parameters, the median of an even number of norms is the
        upper or lower of the two in the middle, and the first step counts for nothing.
    """

    name: ClassVar[str] = "median"

    bound: Tensor
    """float64, 0-d; infinity until there is one."""

    quartiles: Tensor
    """Least, quartiles and largest of the norms of the last estimate; float64 ``[5]``."""

    share_clipped: Tensor
    """Of the steps between the last two estimates; float64, 0-d."""

    def __init__(self, scale: float = 2.0, period: int = 100) -> None:
        super().__init__()
        self.scale = require_positive("scale", scale)
        self.early = [step for step in EARLY if step < require_count("period", period)]
        self.norms = Window(period)
        self.clipped = Window(period)
        self.register_buffer("bound", torch.full((), math.inf, dtype=torch.float64))
        self.register_buffer("quartiles", torch.zeros(5, dtype=torch.float64))
        self.register_buffer("share_clipped", torch.zeros((), dtype=torch.float64))

    def forward(self, statistics: Statistics) -> Scale:
        norm, learnable = statistics.norm, statistics.learnable
        self.norms.push(norm, learnable)
        seen, period = self.norms.seen, self.norms.values.numel()
        early = torch.zeros_like(learnable)
        for step in self.early:
            early = early | (seen == step)
        due = learnable & (early | (seen % period == 0))
        quartiles = self.norms.quantile(torch.linspace(0.0, 1.0, 5).to(self.quartiles))
        bound = torch.where(early, 2.0 * self.scale, self.scale) * quartiles[2]
        # Assigned: what is written in place to a 0-d float64 is lost by torch.compile (2.13).
        self.bound = torch.where(due, bound, self.bound)
        self.quartiles = torch.where(due, quartiles, self.quartiles)
        self.share_clipped = torch.where(due, self.clipped.mean(), self.share_clipped)
        self.clipped.clear(due)
        self.clipped.push((norm > self.bound).double(), learnable)
        return Scale.within(self.bound, norm)

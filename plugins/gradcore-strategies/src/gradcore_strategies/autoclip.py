"""Clipping by a percentile of all norms so far."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from gradcore import Scale, Statistics, Window
from gradcore_strategies.options import require_count, require_percentile


class AutoClip(nn.Module):
    """Scale all gradients alike so that their joint norm is at most a percentile of its history.

    The history includes the norm of this step.  With the default most steps are clipped: the length
    of a step is nearly constant then, and the learning rate says how long it is.

    Args:
        percentile: 0 to 100.
        history: Norms remembered, >= 1; None for all of them, as in the paper, which takes ever
            more memory and time: a step sorts them.

    Raises:
        ValueError: An option is out of its range.

    Source:
        P. Seetharaman, G. Wichern, B. Pardo and J. Le Roux, "AutoClip: Adaptive Gradient Clipping
        for Source Separation Networks", MLSP 2020, arXiv:2007.14469, section 2, with the percentile
        of their best result.  The authors' code (github.com/pseeth/autoclip) lets NaN into the
        history, of which every later percentile, and so every later gradient, is NaN.
    """

    name: ClassVar[str] = "autoclip"

    def __init__(self, percentile: float = 10.0, history: int | None = 10_000) -> None:
        super().__init__()
        self.percentile = require_percentile("percentile", percentile)
        self.norms = Window(history if history is None else require_count("history", history))

    def forward(self, statistics: Statistics) -> Scale:
        self.norms.push(statistics.norm, statistics.learnable)
        return Scale.within(self.norms.quantile(self.percentile / 100.0), statistics.norm)

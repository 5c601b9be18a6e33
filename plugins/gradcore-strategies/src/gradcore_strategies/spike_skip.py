"""Skipping of steps whose loss or norm stands out."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from gradcore import Skip, Statistics, Window
from gradcore_strategies.options import require_count, require_positive


class SpikeSkip(nn.Module):
    """Skip the step where its loss or its norm is far above that of the last steps.

    Far above is more than ``sigmas`` standard deviations of the sample above the mean of the last
    ``window`` steps, this one excluded, once ``window // 2`` are known.  Give the guard the loss,
    ``guard.step(optimizer, loss=loss)``; without it the norm alone decides.  Nothing is scaled.

    Skipped steps are not remembered, so that a spike cannot hide the next one.  A level that stays
    is no spike, though: after ``patience`` skipped steps in a row the window is emptied, and the
    training goes on.

    Args:
        window: Steps remembered, >= 4.
        sigmas: Standard deviations, > 0.
        patience: Steps skipped in a row at most, >= 1; None for any number.

    Raises:
        ValueError: An option is out of its range.

    Source:
        ``SkipStepOptimizer`` in OLMo-core (github.com/allenai/OLMo-core,
        src/olmo_core/optim/skip_step_optimizer.py), with its defaults.  There skipped steps enter
        the window, so that one NaN skips the 129 steps during which it is in it, a value far below
        the mean is skipped as well, and the window is not saved.
    """

    name: ClassVar[str] = "spike_skip"

    streak: Tensor
    """Steps skipped in a row; int64, 0-d."""

    def __init__(self, window: int = 128, sigmas: float = 6.0, patience: int | None = 128) -> None:
        super().__init__()
        self.sigmas = require_positive("sigmas", sigmas)
        self.patience = None if patience is None else require_count("patience", patience)
        self.norms = Window(require_count("window", window, least=4))
        self.losses = Window(window)
        self.register_buffer("streak", torch.zeros((), dtype=torch.int64))

    def forward(self, statistics: Statistics) -> Skip:
        if self.patience is not None:
            given_up = self.streak >= self.patience
            self.norms.clear(given_up)
            self.losses.clear(given_up)
        spike = self._above(self.norms, statistics.norm)
        if statistics.loss is not None:
            spike = spike | self._above(self.losses, statistics.loss)
            self.losses.push(statistics.loss, statistics.trusted & ~spike)
        self.norms.push(statistics.norm, statistics.learnable & ~spike)
        streak = torch.where(spike, self.streak + 1, 0)
        self.streak = torch.where(statistics.trusted, streak, self.streak)
        return Skip(spike)

    def _above(self, window: Window, value: Tensor) -> Tensor:
        known = window.count >= window.values.numel() // 2
        return known & (value > window.mean() + self.sigmas * window.std())

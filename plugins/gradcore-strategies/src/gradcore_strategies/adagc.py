"""Clipping of each parameter's gradient by the moving average of its own norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from gradcore import Scale, Statistics
from gradcore_strategies.options import require_count, require_positive, require_weight


class AdaGC(nn.Module):
    """Scale each gradient so that its norm is at most a little above its own moving average.

    Of parameter i with gradient norm ``g_i`` it remembers ``gamma_i``.  During the first ``warmup``
    steps the joint norm is bounded by ``max_norm``, and ``gamma_i`` is the smallest norm that
    gradient i is left with.  Afterwards each is scaled by itself,
    ``h_i = min(1, relative gamma_i / g_i)``, and
    ``gamma_i <- beta gamma_i + (1 - beta) h_i g_i``.

    A gradient that is zero or missing, as of an expert that no token went to, teaches nothing: a
    ``gamma_i`` of 0 would keep it zero for good.  The first norm of a parameter is bounded as in
    warm-up, whenever it comes.

    Args:
        max_norm: Largest joint norm in warm-up, > 0, in the unit of the gradient.
        relative: Bound in units of ``gamma_i``, > 0; above 1, or no norm can ever grow.
        beta: Weight of the past, at least 0 and less than 1.
        warmup: Steps of it, >= 1.

    Raises:
        ValueError: An option is out of its range.

    Source:
        G. Wang et al., "AdaGC: Improving Training Stability for Large Language Model Pretraining",
        2025, arXiv:2502.11034, algorithm 1 (lambda_abs, lambda_rel, beta, T_start).  A popular copy
        (kozistr's pytorch_optimizer) divides by the square of the joint norm in warm-up.
    """

    name: ClassVar[str] = "adagc"

    gamma: Tensor
    """float64 ``[n]``; 0 where there was no gradient yet."""

    seen: Tensor
    """Steps learnt from; int64, 0-d."""

    def __init__(
        self,
        max_norm: float = 1.0,
        relative: float = 1.05,
        beta: float = 0.98,
        warmup: int = 100,
    ) -> None:
        super().__init__()
        self.max_norm = require_positive("max_norm", max_norm)
        self.relative = require_positive("relative", relative)
        self.beta = require_weight("beta", beta)
        self.warmup = require_count("warmup", warmup)
        self._names: tuple[str, ...] = ()
        self.register_buffer("gamma", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def bind(self, names: Sequence[str]) -> None:
        """Make a row a parameter; those of parameters that stay keep what they learnt."""
        known = dict(zip(self._names, self.gamma, strict=False))
        fresh = self.gamma.new_zeros(())
        rows = [known.get(name, fresh) for name in names]
        self.gamma = torch.stack(rows) if rows else self.gamma.new_zeros(0)
        self._names = tuple(names)

    def forward(self, statistics: Statistics) -> Scale:
        norms = statistics.l2
        if self.gamma.shape != norms.shape:  # used without a guard, which binds
            self.gamma = torch.zeros_like(norms)
        gamma, warming = self.gamma, self.seen < self.warmup
        joint = Scale.within(norms.new_full((), self.max_norm), statistics.norm).factors
        own = Scale.within(self.relative * gamma, norms).factors
        factors = torch.where(warming | (gamma == 0), joint, own)
        left = factors * norms
        average = self.beta * gamma + (1.0 - self.beta) * left
        learned = torch.where(warming, torch.minimum(gamma, left), average)
        learned = torch.where(gamma == 0, left, learned)
        self.gamma = torch.where(statistics.learnable & (left > 0), learned, gamma)
        self.seen.add_(statistics.learnable)
        return Scale(factors)

"""Strategies as they are described, in plain Python: what bounds a step and what is remembered."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

LARGEST = sys.float_info.max

STRATEGIES: dict[str, dict[str, Any]] = {
    "global_norm": {"max_norm": 1.5},
    "value": {"limit": 0.75},
    "per_parameter_norm": {"max_norm": 1.25},
    "ema": {"alpha": 0.5, "factor": 1.5, "floor": 0.25},
    "percentile": {"percentile": 50.0, "window": 4, "warmup": 2},
    "adaptive": {"window": 4, "percentile": 50.0, "target_rate": 0.25, "rate": 0.5, "floor": 0.01},
}


class SlowBounds:
    """A built-in strategy with the options of `STRATEGIES`, or none, and its self."""

    def __init__(self, strategy: str | None) -> None:
        self.strategy = strategy
        self.options = STRATEGIES.get(strategy or "", {})
        self.mean = 0.0
        self.norms: list[float] = []
        self.clipped: list[float] = []
        self.multiplier = 1.0

    @property
    def limit(self) -> float:
        """Of the magnitude of an element."""
        return self.options["limit"] if self.strategy == "value" else math.inf

    def factors(self, norms: list[float], *, trusted: bool) -> list[float]:
        """The factor of each gradient; memory learns from norms that can be trusted."""
        norm, options = math.hypot(*norms), self.options
        learns = trusted and 0.0 < norm < math.inf
        bound = math.inf
        if self.strategy == "per_parameter_norm":
            return [_factor(options["max_norm"], each) for each in norms]
        if self.strategy == "global_norm":
            bound = options["max_norm"]
        elif self.strategy == "ema":
            if self.mean > 0.0:
                bound = max(options["floor"], options["factor"] * self.mean)
            if learns:
                alpha, seen = options["alpha"], min(norm, bound)
                self.mean = alpha * self.mean + (1 - alpha) * seen if self.mean else seen
        elif self.strategy == "percentile":
            if len(self.norms) >= options["warmup"]:
                bound = float(np.percentile(self.norms, options["percentile"]))
            if learns:
                self.norms = [*self.norms, norm][-options["window"] :]
        elif self.strategy == "adaptive":
            bound = self._adaptive(norm, learns=learns)
        return [_factor(bound, norm)] * len(norms)

    def _adaptive(self, norm: float, *, learns: bool) -> float:
        options = self.options
        bound = math.inf
        if self.norms:
            usual = float(np.percentile(self.norms, options["percentile"]))
            bound = max(options["floor"], self.multiplier * usual)
        if learns:
            self.norms = [*self.norms, norm][-options["window"] :]
            self.clipped = [*self.clipped, float(norm > bound)][-options["window"] :]
            share = sum(self.clipped) / len(self.clipped)
            if share > options["target_rate"]:
                self.multiplier *= 1.0 + options["rate"]
            elif share < options["target_rate"]:
                self.multiplier /= 1.0 + options["rate"]
            self.multiplier = min(3.0, max(0.5, self.multiplier))
        return bound


def _factor(bound: float, norm: float) -> float:
    return min(1.0, bound / min(norm, LARGEST)) if norm > 0.0 else 1.0

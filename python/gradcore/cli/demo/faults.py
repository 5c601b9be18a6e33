"""Faults planted into gradients after backward: what, where and when, all drawn from one seed."""

from __future__ import annotations

import enum
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.nn import Parameter

T = TypeVar("T")

SPIKE: Final = 1e25
"""A finite number whose square is beyond float32."""


class Kind(enum.Enum):
    """What is planted; the value is what people are shown."""

    NAN = "NaN"
    INF = "Inf"
    SPIKE = "1e25"
    TENSOR = "tensor of NaN"


@dataclass(frozen=True, slots=True)
class Fault:
    """One disturbance of one gradient."""

    step: int
    kind: Kind

    where: float
    """Which parameter, as a fraction in [0, 1) of all of them in model order."""

    element: float
    """Which element of its gradient, as a fraction in [0, 1)."""

    sign: int
    """1 or -1, of an Inf or a spike."""

    def parameter(self, parameters: Sequence[T]) -> T:
        """Return the one of the model's parameters, or of their names, that it is meant for."""
        return parameters[int(self.where * len(parameters))]

    def plant(self, parameters: Sequence[Parameter]) -> None:
        """Overwrite an element, or all, of one parameter's gradient."""
        gradient = self.parameter(parameters).grad
        if gradient is None:
            raise ValueError(f"Step {self.step}: plant after backward; there is no gradient yet.")
        with torch.no_grad():
            if self.kind is Kind.TENSOR:
                gradient.fill_(math.nan)
                return
            value = {Kind.NAN: math.nan, Kind.INF: math.inf, Kind.SPIKE: SPIKE}[self.kind]
            flat = gradient.view(-1)
            flat[int(self.element * flat.numel())] = self.sign * value


def schedule(steps: int, rate: float, seed: int) -> dict[int, Fault]:
    """Draw the faults of a run, by step: every kind about as often as any other.

    Args:
        steps: Length of the run.
        rate: Share of the steps that get a fault, in [0, 1]; rounded to whole faults, but never
            to none unless it is 0.
        seed: The same seed gives the same faults, and touches no other generator.
    """
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    count = max(1, round(rate * steps)) if rate > 0 else 0
    kinds = [list(Kind)[number % len(Kind)] for number in range(count)]
    draw.shuffle(kinds)
    return {
        step: Fault(step, kind, draw.random(), draw.random(), draw.choice((1, -1)))
        for step, kind in zip(sorted(draw.sample(range(steps), count)), kinds, strict=True)
    }

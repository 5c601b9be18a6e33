"""Hundreds of steps of a training gone through by a guard, with everything that happens in one."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import gradcore

Scales = npt.NDArray[np.float64]

NAMES = ("encoder.weight", "encoder.bias", "head.weight")


@dataclass(frozen=True)
class Step:
    """What one step brings."""

    norms: tuple[float | None, ...]
    """Of the finite elements of each gradient; None for no gradient."""
    loss: float
    nan: bool = False
    skipped: bool = False
    """The policy skips it, though it may be finite."""

    @property
    def trusted(self) -> bool:
        """Whether memory may learn from it."""
        return not (self.nan or self.skipped) and math.isfinite(self.loss)

    @property
    def norm(self) -> float:
        """Of all gradients together."""
        return math.hypot(*self.numbers)

    @property
    def numbers(self) -> list[float]:
        """The norms, 0 for no gradient."""
        return [norm or 0.0 for norm in self.norms]


def journey(steps: int = 400, seed: int = 0) -> list[Step]:
    """Norms that fall and spread, with spikes of any size, faults, skips and missing gradients."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(steps):
        level = 3.0 * math.exp(-2.0 * i / steps)
        norms = [float(x) for x in level * np.array([1.0, 0.2, 3.0]) * random.lognormal(0, 0.3, 3)]
        event = random.random()
        if event < 0.04:
            norms[random.integers(3)] *= float(10.0 ** random.uniform(1, 4))
        elif event < 0.05:
            norms[random.integers(3)] *= 1e60  # far beyond float32, and finite
        given: list[float | None] = list(norms)
        if random.random() < 0.1:
            given[random.integers(3)] = None if random.random() < 0.5 else 0.0
        if random.random() < 0.04:
            given = [None] * 3
        loss = level * float(random.lognormal(0, 0.2)) * (50.0 if random.random() < 0.02 else 1.0)
        loss = math.nan if random.random() < 0.02 else loss
        found.append(
            Step(tuple(given), loss, nan=random.random() < 0.05, skipped=random.random() < 0.05)
        )
    return found


class Policy:
    """Zeroes what is not finite and goes on, and skips when told to."""

    name = "told"

    def __init__(self) -> None:
        self.skips = False

    def __call__(self, statistics: gradcore.Statistics) -> gradcore.Plan:
        """Go on, or not."""
        return gradcore.ZeroElements(), gradcore.Skip(
            torch.full_like(statistics.trusted, self.skips)
        )


class Walk:
    """A guard of three parameters with a strategy, to be led through steps."""

    def __init__(self, strategy: Any) -> None:
        self.policy = Policy()
        self.parameters = [nn.Parameter(torch.zeros(3, dtype=torch.float64)) for _ in NAMES]
        named = list(zip(NAMES, self.parameters, strict=True))
        self.guard = gradcore.Guard(
            named, clip=strategy, nonfinite=self.policy, max_consecutive=None
        )

    def take(self, step: Step, *, loss: bool = True) -> gradcore.Report:
        """One step; without ``loss`` the guard is not told it."""
        for parameter, norm in zip(self.parameters, step.norms, strict=True):
            # Of which the norm is exactly that.
            parameter.grad = None if norm is None else parameter.new_tensor([0.0, norm, 0.0])
        if step.nan and self.parameters[2].grad is not None:
            self.parameters[2].grad[0] = math.nan
        elif step.nan:
            self.parameters[2].grad = self.parameters[2].new_tensor([math.nan, 0.0, 0.0])
        self.policy.skips = step.skipped
        return self.guard.apply(loss=step.loss if loss else None)

    def scales(self, steps: list[Step], *, loss: bool = True) -> Scales:
        """The factors of every step, ``[steps, 3]``, NaN for a skipped one."""
        found = np.full((len(steps), 3), np.nan)
        for row, step in zip(found, steps, strict=True):
            report = self.take(step, loss=loss)
            if not report.skipped:
                row[:] = [parameter.scale for parameter in report.parameters]
        return found

    def memory(self) -> dict[str, Tensor]:
        """A copy of everything the strategy remembers."""
        state: dict[str, Tensor] = self.guard.state_dict()["clip"]["memory"]
        return state


def expected(steps: list[Step], oracle: Callable[[Step], Any]) -> Scales:
    """What `Walk.scales` should find: an oracle gives one factor for all, or one for each."""
    factors = [np.broadcast_to(oracle(step), 3) for step in steps]
    return np.where([[step.skipped] for step in steps], np.nan, factors)


def through_a_file(state: Any) -> Any:
    """Saved and loaded as a checkpoint that nobody has to trust."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)

"""Hundreds of steps of a training, with everything that happens in one, and what a guard shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import gradcore

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """What one step brings."""

    norms: tuple[float | None, ...]
    """Of the finite elements of each gradient; None for no gradient."""
    loss: float | None = None
    trusted: bool = True
    """Not where gradients or loss are not finite, nor where the policy skips."""

    @property
    def numbers(self) -> list[float]:
        """The norms, 0 for no gradient."""
        return [norm or 0.0 for norm in self.norms]

    @property
    def norm(self) -> float:
        """Of all gradients together."""
        return math.hypot(*self.numbers)

    def statistics(self) -> gradcore.Statistics:
        """What a guard would show a strategy."""
        owners = [nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in self.norms]
        for owner, norm in zip(owners, self.norms, strict=True):
            owner.grad = None if norm is None else torch.full_like(owner, norm)
        measured = gradcore.measure(owners)
        loss = None if self.loss is None else torch.tensor(self.loss, dtype=torch.float64)
        trusted = measured.trusted & torch.tensor(self.trusted)
        return replace(measured, trusted=trusted, loss=loss)


def journey(steps: int = 400, seed: int = 0) -> list[Step]:
    """Norms that fall and spread, with spikes, faults, skips and missing gradients."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(steps):
        level = 3.0 * math.exp(-2.0 * i / steps)
        norms = [float(x) for x in level * np.array([1.0, 0.2, 3.0]) * random.lognormal(0, 0.3, 3)]
        if random.random() < 0.04:
            norms[random.integers(3)] *= float(10.0 ** random.uniform(0.5, 4))
        if random.random() < 0.01 and i > steps // 2:
            norms[random.integers(3)] *= 1e60  # far beyond float32, and finite
        given: list[float | None] = list(norms)
        if random.random() < 0.1:
            given[random.integers(3)] = None if random.random() < 0.5 else 0.0
        if random.random() < 0.04:
            given = [None] * 3
        loss = level * float(random.lognormal(0, 0.2)) * (50.0 if random.random() < 0.02 else 1.0)
        loss = math.nan if random.random() < 0.02 else loss
        trusted = math.isfinite(loss) and random.random() > 0.1
        found.append(Step(tuple(given), loss, trusted))
    return found


def calm(steps: int, level: float = 1.0, seed: int = 0) -> list[Step]:
    """Norms of one gradient, and losses, that vary a little around a level."""
    random = np.random.default_rng(seed)
    return [
        Step((level * float(random.lognormal(0, 0.1)),), level * float(random.lognormal(0, 0.1)))
        for _ in range(steps)
    ]


Strategy: TypeAlias = Callable[[gradcore.Statistics], gradcore.Plan]


def scales(strategy: Strategy, steps: Sequence[Step]) -> Array:
    """The factor of each gradient in each step."""
    found = []
    for step in steps:
        plan = strategy(step.statistics())
        assert isinstance(plan, gradcore.Scale)
        found.append(np.broadcast_to(plan.factors.numpy(), len(step.norms)))
    return np.array(found)


def skips(strategy: Strategy, steps: Sequence[Step]) -> list[bool]:
    """Whether each step is skipped."""
    found = []
    for step in steps:
        plan = strategy(step.statistics())
        assert isinstance(plan, gradcore.Skip)
        found.append(bool(plan.when))
    return found


def expected(oracle: Callable[[Step], float | list[float]], steps: Sequence[Step]) -> Array:
    """What `scales` should find: an oracle gives one factor for all, or one for each."""
    return np.array([np.broadcast_to(oracle(step), len(step.norms)) for step in steps])

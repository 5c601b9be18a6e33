"""What is remembered of one module's activations: sums over units, never the activations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

DEAD: Final = 1e-6
"""Units whose magnitude never exceeds it are dead, if nothing else is asked for."""

MARGIN: Final = 0.01
"""Share of the range of a bounded activation, at either end, that counts as saturated."""

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationStatistics:
    """What one module returned, over all passes that were sampled.

    Non-finite elements count in ``nonfinite`` alone.  Of complex elements the modulus counts.
    """

    passes: int
    """Sampled forward passes in which the module ran."""

    units: int
    """Features or channels: see `ActivationMonitor`."""

    mean: float
    """Of all elements; NaN if none was finite."""

    std: float
    """Standard deviation of all elements as a population."""

    smallest: float
    largest: float

    near_zero: float
    """Share of elements whose magnitude is at most 1e-6."""

    dead: float
    """Share of units whose magnitude was at most 1e-6 in every element of every sampled pass."""

    saturated: float | None
    """Share of elements within 1 % of the range from an end of it; None unless the module is an
    activation with bounds (`Sigmoid`, `Tanh`, `Hardtanh`, `Hardsigmoid`, `Softsign`)."""

    nonfinite: int
    """Elements that are NaN or infinite."""

    shift: float | None
    """How far the distribution has moved since the reference window; None until a window after that
    is complete.

    ``sqrt(mean_u((m_u - m0_u)^2 + (s_u - s0_u)^2) / mean_u(s0_u^2))`` with mean m and standard
    deviation s of unit u in the last complete window, m0 and s0 in the reference: the Fréchet
    distance of two normal distributions with independent units, in units of the reference's spread.
    Above 1 the units have moved by more than they vary."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Counts, means and summed squared deviations of n units: float64 ``[n]`` each."""

    count: Tensor
    mean: Tensor
    squares: Tensor

    @classmethod
    def none(cls, values: Tensor) -> Moments:
        """Of no elements of as many units as ``[units, elements]`` has."""
        zeros = values.new_zeros(values.shape[0])
        return cls(zeros, zeros, zeros)

    @classmethod
    def of(cls, values: Tensor, finite: Tensor) -> Moments:
        """Of the finite elements of ``[units, elements]``."""
        count = finite.sum(1).to(values.dtype)
        mean = values.sum(1) / count.clamp(min=1.0)
        deviations = torch.where(finite, values - mean[:, None], 0.0)
        return cls(count, mean, deviations.square().sum(1))

    def merge(self, other: Moments) -> Moments:
        """Those of both sets of elements together.

        Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
        Sample Variances", COMPSTAT 1982, equations 2.1.
        """
        count = self.count + other.count
        share = other.count / count.clamp(min=1.0)
        apart = other.mean - self.mean
        return Moments(
            count,
            self.mean + apart * share,
            self.squares + other.squares + apart.square() * self.count * share,
        )

    def variance(self) -> Tensor:
        """As a population."""
        return self.squares / self.count.clamp(min=1.0)

    def joint(self) -> tuple[float, float, float]:
        """Count, mean and standard deviation over all units."""
        total = float(self.count.sum())
        if not total:
            return 0.0, math.nan, math.nan
        mean = (self.mean * self.count).sum() / total
        squares = self.squares.sum() + (self.count * (self.mean - mean).square()).sum()
        return total, float(mean), math.sqrt(float(squares) / total)


class ActivationRecord:
    """Takes in activations of one module, a pass at a time, without waiting for the device.

    Args:
        like: A tensor ``[units, elements]`` as `wide` makes them.
        bounds: The range of the module's values, if it has one.
        window: Passes in the reference, and in each window compared with it.
    """

    def __init__(self, like: Tensor, bounds: Bounds | None, window: int) -> None:
        self._bounds = bounds
        self._window = window
        self._passes = 0
        self._all = self._current = Moments.none(like)
        self._reference: Moments | None = None
        self._recent: Moments | None = None
        self._peak = like.new_zeros(like.shape[0])
        self._ends = like.new_full((2,), -math.inf)
        self._counts = torch.zeros(3, dtype=torch.int64, device=like.device)

    @property
    def units(self) -> int:
        """How many it is about."""
        return self._peak.shape[0]

    def add(self, values: Tensor) -> None:
        """Take in ``[units, elements]`` of one pass, as `wide` makes them."""
        finite = values.isfinite()
        kept = torch.where(finite, values, 0.0)
        moments = Moments.of(kept, finite)
        self._all = self._all.merge(moments)
        self._current = self._current.merge(moments)
        if values.numel():
            # A unit that is not finite may be anything, but dead it is not.
            magnitudes = torch.where(finite, values.abs(), math.inf)
            self._peak = torch.maximum(self._peak, magnitudes.amax(1))
            ends = [torch.where(finite, each, -math.inf).amax() for each in (values, -values)]
            self._ends = torch.maximum(self._ends, torch.stack(ends))
        self._counts += torch.stack(
            [((kept.abs() <= DEAD) & finite).sum(), (~finite).sum(), self._saturated(values)]
        )
        self._passes += 1
        if self._passes % self._window == 0:
            if self._reference is None:
                self._reference = self._current
            else:
                self._recent = self._current
            self._current = Moments.none(values)

    def dead(self, threshold: float) -> float:
        """Share of units whose magnitude never exceeded ``threshold``."""
        return int((self._peak <= threshold).sum()) / max(self.units, 1)

    def statistics(self) -> ActivationStatistics:
        """All of it, in numbers; waits for the device."""
        total, mean, std = self._all.joint()
        zeros, nonfinite, saturated = self._counts.tolist()
        largest, negated = self._ends.tolist()
        return ActivationStatistics(
            passes=self._passes,
            units=self.units,
            mean=mean,
            std=std,
            smallest=-negated if total else math.nan,
            largest=largest if total else math.nan,
            near_zero=zeros / max(total, 1.0),
            dead=self.dead(DEAD),
            saturated=saturated / max(total, 1.0) if self._bounds else None,
            nonfinite=nonfinite,
            shift=self._shift(),
        )

    def _saturated(self, values: Tensor) -> Tensor:
        if self._bounds is None:
            return self._counts.new_zeros(())
        low, high = self._bounds
        margin = MARGIN * (high - low)
        return ((values <= low + margin) | (values >= high - margin)).sum()

    def _shift(self) -> float | None:
        if self._reference is None or self._recent is None:
            return None
        before, now = self._reference.variance(), self._recent.variance()
        moved = (self._recent.mean - self._reference.mean).square().mean()
        widened = (now.sqrt() - before.sqrt()).square().mean()
        distance, spread = float(moved + widened), float(before.mean())
        if distance == 0.0:
            return 0.0
        return math.sqrt(distance / spread) if spread > 0.0 else math.inf


def wide(values: Tensor) -> Tensor:
    """In the precision that records are kept in: float64 where the device has it."""
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)

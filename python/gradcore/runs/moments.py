"""Mean, deviation and largest magnitude of all gradient elements, step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gradcore.runs.columns import Numbers, Read


@dataclass(frozen=True, slots=True)
class Moments:
    """Float64 ``[steps]`` each, NaN where it was not measured."""

    step: Numbers
    mean: Numbers
    """Of all finite elements; the modulus of each parameter's mean counts if it is complex."""
    std: Numbers
    """Standard deviation of all finite elements as a population."""
    max_abs: Numbers
    """Largest finite magnitude."""


class MomentsBuilder:
    """Takes in the rows of one report after the other."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, float, float, float]] = []

    def add(self, step: int, read: Read) -> None:
        """Take in the rows of the next step."""
        max_abs = read("max_abs")
        largest = float(np.fmax.reduce(max_abs)) if max_abs.size else math.nan
        self._rows.append((step, *_joint(read), largest))

    def moments(self) -> Moments:
        """All of it."""
        return Moments(*np.array(self._rows, np.float64).reshape(-1, 4).T)


def _joint(read: Read) -> tuple[float, float]:
    """Mean and deviation of the elements of all parameters: law of total variance."""
    mean, std = read("mean"), read("std")
    count = read("numel") - read("nan") - read("posinf") - read("neginf")
    known = np.isfinite(mean) & np.isfinite(std) & (count > 0)
    if not known.any():
        return math.nan, math.nan
    share = count[known] / count[known].sum()
    joint = float(share @ mean[known])
    # Divided before they are squared: squares may be beyond float64 where deviations are not.
    parts = np.stack([std[known], mean[known] - joint])
    largest = float(np.abs(parts).max())
    if largest == 0.0:
        return joint, 0.0
    return joint, largest * math.sqrt(float(share @ np.square(parts / largest).sum(0)))

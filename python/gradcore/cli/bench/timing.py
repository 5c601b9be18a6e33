"""Times of several calls against each other, in one process, so that other work hits all alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

SPREAD: Final = 1.25
"""A median so many times the minimum says that the machine was busy."""

FEWEST: Final = 3
"""Rounds that are timed whatever they take."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that one call took."""

    minimum: float
    median: float
    rounds: int

    @property
    def noise(self) -> float:
        """How far the median lies above the minimum, as a share of that."""
        return self.median / self.minimum - 1.0

    @property
    def noisy(self) -> bool:
        """The machine was busy with other things: believe ratios to a few tens of percent."""
        return self.median > SPREAD * self.minimum


def compare(
    calls: Mapping[str, Callable[[], object]],
    *,
    before: Callable[[], object],
    rounds: int,
    budget: float,
) -> dict[str, Timing]:
    """Time each call once a round, in an order that rotates.

    Args:
        calls: What is timed.
        before: Called before each call, untimed: brings back what calls change, and leaves the
            caches in the same state for all.
        rounds: Rounds at most; one more, the first, does not count.
        budget: Seconds after which no round is begun, but for the first few.
    """
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    begun = time.perf_counter()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds + 1):
            if number > FEWEST and time.perf_counter() - begun > budget:
                break
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                before()
                start = time.perf_counter()
                calls[name]()
                elapsed = time.perf_counter() - start
                if number > 0:
                    seconds[name].append(elapsed)
    finally:
        if collecting:
            gc.enable()
    return {
        name: Timing(min(taken), statistics.median(taken), len(taken))
        for name, taken in seconds.items()
    }

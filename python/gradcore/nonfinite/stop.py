"""Training ends at the first non-finite element; called stop.py since `raise` is a keyword."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gradcore import plan
from gradcore.validation import require_threshold

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Raise:
    """Raise `NonfiniteGradientError` where gradients or loss are not finite, before any change.

    On a GPU this waits for the measurement in every step, since only the host can raise.

    Args:
        overflow: Larger magnitudes are treated like infinite ones, > 0.

    Raises:
        ValueError: ``overflow`` is NaN, zero or negative.
    """

    name: ClassVar[str] = "raise"

    overflow: float = math.inf

    def __post_init__(self) -> None:
        require_threshold("overflow", self.overflow)

    def __call__(self, statistics: Statistics) -> plan.Stop:
        return plan.Stop(statistics.untrusted)

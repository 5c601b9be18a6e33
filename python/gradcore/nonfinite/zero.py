"""Non-finite elements become zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gradcore import plan
from gradcore.validation import require_threshold

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Zero:
    """Set non-finite elements to zero, complex ones as a whole, and take the step with the rest.

    Args:
        overflow: Larger magnitudes are treated like infinite ones, > 0.

    Raises:
        ValueError: ``overflow`` is NaN, zero or negative.
    """

    name: ClassVar[str] = "zero"

    overflow: float = math.inf

    def __post_init__(self) -> None:
        require_threshold("overflow", self.overflow)

    def __call__(self, statistics: Statistics) -> plan.ZeroElements:  # noqa: ARG002 - always the same
        return plan.ZeroElements()

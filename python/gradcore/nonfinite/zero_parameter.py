"""The whole gradient of a parameter that has any non-finite element becomes zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gradcore import plan
from gradcore.validation import require_threshold

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


@dataclass(frozen=True, slots=True)
class ZeroParameter:
    """Set the gradient of every parameter with a non-finite element to zero, and take the step.

    For faults that say something of the whole layer: its finite elements are not believed either.
    The other parameters step as if nothing had been, and strategies see norms without that
    gradient.  A parameter that is not finite itself keeps its finite elements, since they are what
    was learnt: only the others become zero.

    Args:
        overflow: Larger magnitudes are treated like infinite ones, > 0.

    Raises:
        ValueError: ``overflow`` is NaN, zero or negative.
    """

    name: ClassVar[str] = "zero_parameter"

    overflow: float = math.inf

    def __post_init__(self) -> None:
        require_threshold("overflow", self.overflow)

    def __call__(self, statistics: Statistics) -> plan.ZeroParameters:  # noqa: ARG002 - always the same
        return plan.ZeroParameters()

"""A step with non-finite elements is not taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gradcore import plan
from gradcore.validation import require_threshold

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Skip:
    """Leave parameters and optimizer state as they are where gradients or loss are not finite.

    Args:
        overflow: Larger magnitudes are treated like infinite ones, > 0.

    Raises:
        ValueError: ``overflow`` is NaN, zero or negative.

    Source:
        P. Micikevicius et al., "Mixed Precision Training", ICLR 2018, section 3.2, of the steps
        that overflow.
    """

    name: ClassVar[str] = "skip"

    overflow: float = math.inf

    def __post_init__(self) -> None:
        require_threshold("overflow", self.overflow)

    def __call__(self, statistics: Statistics) -> plan.Skip:
        return plan.Skip(statistics.untrusted)

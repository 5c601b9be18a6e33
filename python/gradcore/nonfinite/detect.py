"""Non-finite elements are counted and reported, nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gradcore import plan
from gradcore.validation import require_threshold

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Detect:
    """Report non-finite elements and change none of them: for watching a run, not for saving it.

    Does to gradients what `Propagate` does, so parameters and optimizer state will hold NaN after a
    step with one.  The difference is what counts as an event: here it can be told to be more.

    Args:
        overflow: Larger magnitudes are events too, > 0.  They are reported as infinite and left out
            of the norms, so the strategy does not see them; a common factor still scales them.

    Raises:
        ValueError: ``overflow`` is NaN, zero or negative.
    """

    name: ClassVar[str] = "detect"

    passes_nonfinite: ClassVar[bool] = True
    """Says so, since no other policy may: `gradcore.testing.check_policy` holds them to it."""

    overflow: float = math.inf

    def __post_init__(self) -> None:
        require_threshold("overflow", self.overflow)

    def __call__(self, statistics: Statistics) -> plan.Propagate:  # noqa: ARG002 - always the same
        return plan.Propagate()

"""Non-finite elements go on to the optimizer, as without gradcore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gradcore import plan

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Propagate:
    """Leave non-finite elements where they are, and let the step be taken.

    What torch does, but for two things: norms are those of the finite elements, so that clipping
    never spreads a NaN to the others, and the event is reported.  Parameters and optimizer state
    will hold NaN afterwards.  There is nothing to set; `Detect` is the same with a threshold.
    """

    name: ClassVar[str] = "propagate"

    passes_nonfinite: ClassVar[bool] = True
    """Says so, since no other policy may: `gradcore.testing.check_policy` holds them to it."""

    def __call__(self, statistics: Statistics) -> plan.Propagate:  # noqa: ARG002 - always the same
        return plan.Propagate()

"""Non-finite elements become zero, and what is left of that gradient shrinks with their number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from gradcore import plan
from gradcore.validation import require_threshold

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Scale:
    """Zero non-finite elements and multiply the rest of that gradient by its finite share.

    The factor of a parameter is ``finite elements / elements``, exactly 1 where all are finite: the
    more of a gradient is lost, the less the rest of it is believed.  A report counts the zeroed
    elements as ``repaired`` and tells the factor as ``scale`` of the parameter, together with that
    of clipping; strategies see the norms of what is left.

    Args:
        overflow: Larger magnitudes are treated like infinite ones, > 0.

    Raises:
        ValueError: ``overflow`` is NaN, zero or negative.
    """

    name: ClassVar[str] = "scale"

    overflow: float = math.inf

    def __post_init__(self) -> None:
        require_threshold("overflow", self.overflow)

    def __call__(self, statistics: Statistics) -> tuple[plan.ZeroElements, plan.Scale]:
        numel = statistics.numel
        share = (numel - statistics.nonfinite) / numel
        return plan.ZeroElements(), plan.Scale(torch.where(numel > 0, share, 1.0))

"""Non-finite elements become chosen values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gradcore import plan
from gradcore.validation import require_threshold

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Replace:
    """Give NaN, +Inf and -Inf each a value, and take the step; norms count the values.

    Each part of a complex element is replaced by itself, as `torch.nan_to_num` does it.  A value
    beyond the largest finite number of a gradient's dtype becomes that number.

    Args:
        nan: Takes the place of NaN, finite, in the unit of the gradient.
        posinf: Takes the place of +Inf, finite.
        neginf: Takes the place of -Inf, finite.
        overflow: Larger magnitudes are treated like the infinity of their sign, > 0.

    Raises:
        ValueError: A value is NaN or infinite, or its magnitude is above ``overflow``, which would
            put one event in the place of another; or ``overflow`` is NaN, zero or negative.
    """

    name: ClassVar[str] = "replace"

    nan: float = 0.0
    posinf: float = 1e6
    neginf: float = -1e6
    overflow: float = math.inf

    def __post_init__(self) -> None:
        overflow = require_threshold("overflow", self.overflow)
        for name in ("nan", "posinf", "neginf"):
            value = getattr(self, name)
            if not math.isfinite(value):
                raise ValueError(f"{name} must be finite; got {value}.")
            if abs(value) > overflow:
                raise ValueError(f"{name} must lie within overflow={overflow}; got {value}.")

    @property
    def replacement(self) -> plan.Replace:
        """What it is going to ask for, so that the measurement can count the values."""
        return plan.Replace(nan=self.nan, posinf=self.posinf, neginf=self.neginf)

    def __call__(self, statistics: Statistics) -> plan.Replace:  # noqa: ARG002 - always the same
        return self.replacement

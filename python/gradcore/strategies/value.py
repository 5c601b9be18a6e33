"""Clipping of each element by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gradcore.plan import Clamp
from gradcore.validation import require_positive

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Value:
    """Bring each element into [-limit, limit]; a complex element keeps its phase.

    Changes the direction of the gradient, which `GlobalNorm` keeps.

    Args:
        limit: Largest magnitude of an element, finite and > 0, in the unit of the gradient.

    Raises:
        ValueError: ``limit`` is NaN, infinite, zero or negative.

    Source:
        T. Mikolov, "Statistical Language Models Based on Neural Networks", PhD thesis, Brno
        University of Technology, 2012.
    """

    name: ClassVar[str] = "value"

    needs: ClassVar[tuple[str, ...]] = ("max_abs",)
    """A gradient whose largest magnitude is within the limit need not be written, nor reported."""

    limit: float = 1.0

    def __post_init__(self) -> None:
        require_positive("limit", self.limit)

    def __call__(self, statistics: Statistics) -> Clamp:  # noqa: ARG002 - the rule is the same for all
        return Clamp(self.limit)

"""Clipping by the joint norm of all gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from gradcore.plan import Scale
from gradcore.validation import require_order, require_threshold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gradcore.statistics import Statistics

STATISTIC: Final[Mapping[float, str]] = {1.0: "l1", 2.0: "l2", math.inf: "max_abs"}
"""The statistic whose total is the norm of an order; any other order takes ``lp``."""


@dataclass(frozen=True, slots=True)
class GlobalNorm:
    """Scale all gradients alike so that their joint norm is at most ``max_norm``.

    The direction is kept, and gradients within the bound keep every bit.  No epsilon is added to
    the norm, so that a clipped norm is ``max_norm`` to rounding; `torch.nn.utils.clip_grad_norm_`
    lands slightly below it.

    Args:
        max_norm: Largest joint norm allowed, > 0, in the unit of the gradient; infinity bounds
            nothing.
        norm_type: Order p of the norm, > 0 or infinite: ``(sum |x|^p)^(1/p)`` over the elements of
            all gradients.  Orders other than 1, 2 and infinity take longer to measure.

    Raises:
        ValueError: ``max_norm`` is NaN, zero or negative, or ``norm_type`` is NaN, zero
            or negative.

    Source:
        R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural
        networks", ICML 2013, algorithm 1.
    """

    name: ClassVar[str] = "global_norm"

    max_norm: float = 1.0
    norm_type: float = 2.0

    def __post_init__(self) -> None:
        require_threshold("max_norm", self.max_norm)
        require_order("norm_type", self.norm_type)

    @property
    def needs(self) -> tuple[str, ...]:
        """The statistic that holds the norm, unless that is always there."""
        statistic = self._statistic
        return () if statistic == "l2" else (statistic,)

    def __call__(self, statistics: Statistics) -> Scale:
        norm = statistics.total(self._statistic)
        return Scale.within(self.max_norm, norm)

    @property
    def _statistic(self) -> str:
        return STATISTIC.get(self.norm_type, "lp")

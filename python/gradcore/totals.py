"""What a measurement says of all gradients taken as one vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(slots=True, eq=False)
class Totals:
    """What is looked up in every step, as whoever measures can say it in one go."""

    finite: Tensor
    """0-d bool: every element is."""
    nonfinite: Tensor
    """0-d bool: some element is not."""
    total: Tensor
    """0-d float64: the total of the row that was asked for."""
    numbers: list[float] | None = None
    """The totals of all rows; None where the host would wait for a device."""

"""Norms of the units of parameters: what clipping by unit decides on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Norms of the units of n parameters, U in all, one parameter after the other.

    A unit is an index of one axis of a parameter, the first unless told otherwise: an output of a
    linear layer or a convolution, a row of an embedding.  A parameter of less than two dimensions
    is one unit.
    """

    counts: Tensor
    """int64 ``[n]``: units of each parameter, those without a gradient too."""

    l2: Tensor | None = None
    """float64 ``[U]``, of the gradients."""

    parameter_l2: Tensor | None = None
    """float64 ``[U]``, of the parameters themselves."""

    def spread(self, rows: Tensor) -> Tensor:
        """What each parameter has, for each of its units: ``[n]`` to ``[U]``."""
        norms = self.l2 if self.l2 is not None else self.parameter_l2
        size = None if norms is None else norms.shape[0]  # saves waiting for the device
        return rows.repeat_interleave(self.counts, output_size=size)


def counts_of(tensors: list[Tensor], axis: int) -> list[int]:
    """How many units each tensor has along ``axis``."""
    return [t.shape[axis] if t.ndim > 1 else 1 for t in tensors]

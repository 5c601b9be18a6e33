"""The norm of tensors taken as one vector, wherever their elements are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradcore import core
from gradcore.distributed import sharding
from gradcore.validation import require_order

if TYPE_CHECKING:
    from gradcore.totals import Totals


def any_sharded(tensors: list[Tensor]) -> bool:
    """Whether there is a DTensor among them."""
    return not torch.compiler.is_compiling() and sharding.any_sharded(tensors)


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """What was measured of tensors taken as one vector."""

    pieces: list[Tensor]
    """What this process holds."""
    own: Tensor
    """The table of that."""
    table: Tensor
    """The table of the whole."""
    totals: Totals
    """What it says."""

    @property
    def norm(self) -> Tensor:
        """0-d float64, of the finite elements."""
        return self.totals.total

    def tainted(self, norm: Tensor) -> Tensor:
        """A norm with non-finite elements in it: NaN beats infinity, infinity beats any number."""
        if self.totals.numbers is not None and not any(self.totals.numbers[2:5]):
            return norm
        nan, posinf, neginf = self.table[2:5, -1]
        infinite = torch.where(posinf + neginf > 0, math.inf, norm)
        return torch.where(nan > 0, math.nan, infinite)


def measured(
    tensors: list[Tensor], p: float, arguments: Mapping[str, object], *, gradients: bool
) -> Joint:
    """Measure tensors, or their gradients, by their norm of order p.

    Where there are DTensors, ``arguments`` is what has to be the same on all ranks.
    """
    order = require_order("norm_type", float(p))  # torch takes "inf" too
    row = {2.0: "l2", 1.0: "l1", math.inf: "max_abs"}.get(order, "lp")
    norm_type = order if row == "lp" else 2.0

    def measure(pieces: list[Tensor], *, gradients: bool) -> Tensor:
        return core.measure_table(pieces, (row,), gradients=gradients, norm_type=norm_type)

    if not any_sharded(tensors):
        table = measure(tensors, gradients=gradients)
        return Joint(tensors, table, table, core.totals(table, row))
    # torch.distributed is no part of every build of torch.
    from gradcore.distributed.together import measured_together  # noqa: PLC0415

    # Put into words here: torch.compile formats no number that it does not know.
    told = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    pieces, own, whole = measured_together(
        tensors, measure, row, gradients=gradients, norm_type=norm_type, arguments=told
    )
    return Joint(pieces, own, whole, core.totals(whole.contiguous(), row))

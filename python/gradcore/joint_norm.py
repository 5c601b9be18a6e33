"""The norm of tensors taken as one vector, wherever their elements are."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from gradcore import core
from gradcore.distributed import sharding
from gradcore.statistics import ROWS
from gradcore.validation import require_order


def any_sharded(tensors: list[Tensor]) -> bool:
    """Whether there is a DTensor among them."""
    return not torch.compiler.is_compiling() and sharding.any_sharded(tensors)


def measured(
    tensors: list[Tensor], p: float, arguments: Mapping[str, object], *, gradients: bool
) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """What this process holds, its table, that of the whole, and the norm of the finite elements.

    Where there are DTensors, ``arguments`` is what has to be the same on all ranks.
    """
    order = require_order("norm_type", float(p))  # torch takes "inf" too
    row = {2.0: "l2", 1.0: "l1", math.inf: "max_abs"}.get(order, "lp")
    norm_type = order if row == "lp" else 2.0

    def measure(pieces: list[Tensor], *, gradients: bool) -> Tensor:
        return core.measure_table(pieces, (row,), gradients=gradients, norm_type=norm_type)

    if not any_sharded(tensors):
        table = measure(tensors, gradients=gradients)
        return tensors, table, table, table[ROWS.index(row), -1]
    # torch.distributed is no part of every build of torch.
    from gradcore.distributed.together import measured_together  # noqa: PLC0415

    # Put into words here: torch.compile formats no number that it does not know.
    told = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    pieces, own, whole = measured_together(
        tensors, measure, row, gradients=gradients, norm_type=norm_type, arguments=told
    )
    return pieces, own, whole, whole[ROWS.index(row), -1]

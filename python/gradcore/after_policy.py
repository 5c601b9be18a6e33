"""What a strategy sees: statistics of the gradients as the policy is going to leave them."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from gradcore.plan import Scale, ZeroParameters
from gradcore.statistics import ROWS

if TYPE_CHECKING:
    from gradcore.plan import Bound, Repair
    from gradcore.statistics import Statistics

SIZES: Final = slice(ROWS.index("l2"), None)
"""Rows that grow with the gradient; those before are counts."""

SMALLEST, LARGEST = sys.float_info.min, sys.float_info.max


def after_policy(statistics: Statistics, repair: Repair, bound: Bound) -> Statistics:
    """Statistics of what is left when ``repair`` and ``bound`` have been carried out.

    Counts of non-finite elements stay: they are what was found.  Elements that are zeroed or
    replaced one by one need nothing here: they were measured so.
    """
    factors = bound.factors.to(statistics.table) if isinstance(bound, Scale) else None
    if isinstance(repair, ZeroParameters):
        stays = (statistics.nonfinite == 0).to(statistics.table)
        factors = stays if factors is None else factors * stays
    if factors is None or statistics.table.shape[1] == 1:
        return statistics
    table = statistics.table.clone()
    left = _times(table[SIZES, :-1], factors)
    zeros = ROWS.index("zeros") - SIZES.start
    numel = table[ROWS.index("numel"), :-1]
    left[zeros] = torch.where(factors == 0.0, numel, table[ROWS.index("zeros"), :-1])
    table[SIZES, :-1] = left
    table[SIZES, -1] = left.sum(1)
    for name, order in (("l2", 2.0), ("max_abs", float("inf")), ("lp", statistics.norm_type)):
        row = ROWS.index(name)
        table[row, -1] = _norm(table[row, :-1], order)
    units = statistics.per_unit
    if units is not None and units.l2 is not None:
        spread = units.spread(factors) if factors.ndim else factors
        units = replace(units, l2=_times(units.l2, spread))
    # To the last bit what was measured where nothing is changed: a norm may lie on a bound.
    changed = (factors != 1.0).any()
    table = torch.where(changed, table, statistics.table)
    return replace(statistics, table=table, per_unit=units)


def _times(sizes: Tensor, factors: Tensor) -> Tensor:
    """Sizes times factors, where nothing is left of an infinite norm that is taken 0 times."""
    return torch.where(factors == 0.0, 0.0, sizes * factors)


def _norm(values: Tensor, order: float) -> Tensor:
    """Norm of norms, divided by the largest first, so that no power overflows or vanishes."""
    largest = values.amax().clamp(SMALLEST, LARGEST)
    norm: Tensor = largest * torch.linalg.vector_norm(values / largest, order)
    return norm

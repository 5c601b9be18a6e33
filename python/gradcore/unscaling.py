"""What was measured of scaled gradients, said of unscaled ones; and the way back for a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from gradcore.plan import Replace, Scale, ScaleUnits
from gradcore.statistics import ROWS

if TYPE_CHECKING:
    from gradcore.decision import Decision
    from gradcore.plan import Bound, Repair
    from gradcore.statistics import Statistics

SIZES: Final = slice(ROWS.index("l2"), ROWS.index("zeros")), ROWS.index("lp")
"""Rows that grow with the gradient; the others are counts.

Not a list, which would be copied to the device, and waited for.
"""


def unscaled(statistics: Statistics, factor: float | Tensor) -> Statistics:
    """Statistics of gradients that are going to be multiplied by ``factor``, 0-d if a tensor."""
    if isinstance(factor, float) and factor == 1.0:
        return statistics
    table = statistics.table.clone()
    for rows in SIZES:
        table[rows] *= factor
    units = statistics.per_unit
    if units is not None and units.l2 is not None:
        units = replace(units, l2=units.l2 * factor)
    return replace(statistics, table=table, per_unit=units)


def folded(decision: Decision, factor: float | Tensor) -> tuple[Bound, Repair, Tensor | None]:
    """Bound, repair and factors of a decision, such that they multiply by ``factor`` as well.

    What replaces elements is multiplied after that, and limits are of what has been multiplied.
    """
    bound, repair, factors = decision.bound, decision.repair, decision.factors
    if isinstance(factor, float) and factor == 1.0:
        return bound, repair, factors
    if isinstance(repair, Replace):
        repair = scaled(repair, float(factor))
    if factors is None:
        if not isinstance(factor, Tensor):
            factor = torch.tensor(factor, dtype=torch.float64, device="cpu")
        return bound, repair, factor
    factors = factors * factor
    if isinstance(bound, (Scale, ScaleUnits)):
        bound = type(bound)(factors)
    return bound, repair, factors


def scaled(values: Replace, factor: float) -> Replace:
    """What replaces elements, such that multiplied by ``factor`` it is ``values``."""
    return Replace(values.nan / factor, values.posinf / factor, values.neginf / factor)

"""What a decision of all ranks is to one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gradcore.distributed.vector import NONFINITE
from gradcore.plan import Propagate, Scale, ScaleUnits, ZeroParameters

if TYPE_CHECKING:
    from torch import Tensor

    from gradcore.decision import Decision
    from gradcore.distributed.ownership import Ownership
    from gradcore.distributed.unit_layout import UnitLayout
    from gradcore.fetching import Fetched
    from gradcore.parameter_table import Table
    from gradcore.statistics import Statistics


def judged(own: Ownership, decision: Decision, host: Fetched, *, differing: bool) -> Fetched:
    """What the host knows, in the rows of the job.

    Where replicas differ in what is not finite no repair leaves them alike, so the step is skipped,
    unless such elements are to be let through.
    """
    rates = None if host.rates is None else _spread(own, host.rates)
    differing = differing and not isinstance(decision.repair, Propagate)
    return replace(host, rates=rates, skip=host.skip or differing)


def part_of(
    own: Ownership,
    units: UnitLayout | None,
    local: Statistics,
    joined: Statistics,
    decision: Decision,
) -> tuple[Tensor, Decision]:
    """The table to repair by, and the decision with the rows of this rank.

    The table says what this rank saw; or where parameters go as a whole, what all ranks did.

    Args:
        own: Which rows of the job are of this rank.
        units: Which of its units are.
        local: What this rank measured.
        joined: What all ranks did.
        decision: Of the job.
    """
    table, columns = local.table, own.columns

    def rows(factors: Tensor) -> Tensor:
        return (factors[columns] if factors.ndim else factors).to(table.device)

    if isinstance(decision.repair, ZeroParameters):
        table = table.clone()
        table[NONFINITE, :-1] = joined.table[NONFINITE][:, columns].to(table)
    bound, shrink = decision.bound, decision.shrink
    if isinstance(bound, Scale):
        bound = Scale(rows(bound.factors))
    if isinstance(bound, ScaleUnits) and units is not None:
        bound = ScaleUnits(bound.factors[units.places].to(table.device))
    shrink = None if shrink is None else rows(shrink)
    return table, replace(decision, bound=bound, shrink=shrink)


def _spread(own: Ownership, values: Table) -> Table:
    """What is known of the parameters of this rank, among those of the job: NaN for others."""
    among = np.full(len(own.names), np.nan)
    among[own.columns.numpy()] = values
    return among

"""What the host has to know of a step, with one wait for the device where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from gradcore.errors import PluginError
from gradcore.plan import ScaleUnits
from gradcore.statistics import ROWS

if TYPE_CHECKING:
    from gradcore.decision import Decision
    from gradcore.parameter_table import Table
    from gradcore.protocols import ClipStrategy, NonfinitePolicy
    from gradcore.rates import Rates
    from gradcore.statistics import Statistics

ONE = np.ones(())

OF_PARAMETERS = slice(ROWS.index("nan"), ROWS.index("l2") + 1)
"""Rows of the table of the parameters themselves that reports tell."""


@dataclass(slots=True)
class Fetched:
    """Numbers of one step, on the host."""

    rows: Tensor | Table
    """The table; a tensor of the CPU where nobody has looked at single parameters yet."""
    totals: list[float]
    """The last column of the table."""
    factors: Table
    loss: float | None
    event: bool
    """Something is not finite."""
    skip: bool
    stop: bool
    restore: bool
    """Parameters and optimizer state are to be rolled back; ``skip`` is true then."""
    parameters: Table | None
    """Float64 ``[4, n + 1]``: NaN, +Inf, -Inf and norm of the parameters, if they were measured."""
    rates: Table | None
    """Learning rate of each parameter, float64 ``[n]``, NaN for none; None for no optimizer."""
    unit_norms: Table | None
    """Norm of each unit before clipping, float64 ``[U]``, where each has its factor."""
    unit_counts: Table | None
    """Units of each parameter, float64 ``[n]``, likewise."""
    scaling: Table | None = None
    """What the host has yet to learn of a scaler."""

    @property
    def table(self) -> Table:
        """Float64 ``[len(ROWS), n + 1]``, as measured."""
        return self.rows.numpy() if isinstance(self.rows, Tensor) else self.rows


def fetch(
    statistics: Statistics,
    decision: Decision,
    loss: Tensor | float | None,
    rates: Rates | None = None,
) -> Fetched:
    """Statistics, factors, loss, flags and learning rates of a step on the CPU as numbers."""
    factors = decision.factors
    units = statistics.per_unit if isinstance(decision.bound, ScaleUnits) else None
    norms, counts = (None, None) if units is None else (units.l2, units.counts)
    loss = loss.detach() if isinstance(loss, Tensor) else loss
    measured = statistics.parameters_table
    parameters = None if measured is None else measured[OF_PARAMETERS]
    return Fetched(
        statistics.table,
        statistics.totals(),
        _copied(factors),
        None if loss is None else float(loss),
        bool(statistics.untrusted),
        decision.skip is not None and bool(decision.skip),
        decision.stop is not None and bool(decision.stop),
        decision.restore is not None and bool(decision.restore),
        None if parameters is None else parameters.cpu().numpy(),
        None if rates is None else rates.of_parameters(rates.of_groups),
        None if norms is None else norms.numpy(),
        None if counts is None else counts.double().numpy(),
    )


def _copied(factors: Tensor | None) -> Table:
    """Factors on the host, which stay what they are when the strategy writes to its own."""
    if factors is None:
        return ONE
    if not factors.ndim:
        return np.array(factors.item())
    return factors.detach().double().numpy().copy()


def require_factors(factors: Table, source: ClipStrategy | NonfinitePolicy) -> None:
    """Raise `PluginError` unless every factor lies in [0, 1]."""
    if not factors.ndim:
        fit = 0.0 <= factors.item() <= 1.0
    else:
        fit = bool(np.all((factors >= 0.0) & (factors <= 1.0)))
    if not fit:
        raise PluginError(
            f"{source.name!r} returned factors from {factors.min()} to {factors.max()}: a gradient "
            "may be multiplied by 0 to 1 only."
        )

"""What the host has to know of a step, with one wait for the device where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gradcore.errors import PluginError
from gradcore.plan import Scale

if TYPE_CHECKING:
    from gradcore.decision import Decision
    from gradcore.parameter_table import Table
    from gradcore.protocols import ClipStrategy, NonfinitePolicy
    from gradcore.statistics import Statistics

ONE = np.ones(())


@dataclass(frozen=True, slots=True)
class Fetched:
    """Numbers of one step, on the host."""

    table: Table
    factors: Table
    loss: float | None
    event: bool
    """Something is not finite."""
    skip: bool
    stop: bool


def fetch(statistics: Statistics, decision: Decision, loss: Tensor | float | None) -> Fetched:
    """Bring statistics, factors, loss and flags to the host."""
    table = statistics.table
    factors = decision.bound.factors if isinstance(decision.bound, Scale) else None
    loss = loss.detach() if isinstance(loss, Tensor) else loss
    flags = (~statistics.trusted, decision.skip, decision.stop)
    if table.is_cpu:
        return Fetched(
            table.numpy(),
            ONE if factors is None else factors.detach().double().numpy().copy(),
            None if loss is None else float(loss),
            *(flag is not None and bool(flag) for flag in flags),
        )
    zero = table.new_zeros(())
    parts = [zero if part is None else part for part in (*flags, loss, factors, table)]
    flat = [torch.as_tensor(part).to(table).reshape(-1) for part in parts]
    host = torch.cat(flat).cpu().numpy()
    end = 4 + flat[4].numel()
    return Fetched(
        host[end:].reshape(tuple(table.shape)),
        ONE if factors is None else host[4:end].reshape(tuple(factors.shape)),
        None if loss is None else float(host[3]),
        *(bool(flag) for flag in host[:3]),
    )


def require_factors(factors: Table, source: ClipStrategy | NonfinitePolicy) -> None:
    """Raise `PluginError` unless every factor lies in [0, 1]."""
    if not bool(np.all((factors >= 0.0) & (factors <= 1.0))):
        raise PluginError(
            f"{source.name!r} returned factors from {factors.min()} to {factors.max()}: a gradient "
            "may be multiplied by 0 to 1 only."
        )

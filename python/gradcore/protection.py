"""The heart of the arrow: measure, decide, apply, and say what was done."""

from __future__ import annotations

from dataclasses import replace
from itertools import compress
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradcore import core
from gradcore.decision import decide
from gradcore.fetching import fetch, require_factors
from gradcore.plan import Keep, ZeroElements, ZeroParameters
from gradcore.reporting import Outcome, report_of

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from gradcore.errors import NonfiniteGradientError
    from gradcore.guard import Guard
    from gradcore.report import Report


@torch.no_grad()
def protect(
    guard: Guard, loss: Tensor | float | None, optimizer: Optimizer | None, *, looking: bool
) -> tuple[Report, NonfiniteGradientError | None]:
    """Everything of one step up to ``optimizer.step()``, of which optimizer if that is known.

    Returns:
        The report, without findings; and what is to be raised, if the step is to end the training,
        in which case nothing was changed.
    """
    measuring, tensors = guard.measuring, guard.parameters.tensors
    statistics = measuring(guard.parameters, loss, looking=looking)
    guard.bind(guard.names, statistics.table.device)
    decision = decide(statistics, guard.nonfinite, guard.clip)
    host = fetch(statistics, decision, loss, guard.parameters.rates(optimizer))
    require_factors(host.factors, guard.clip or guard.nonfinite)
    rollback = guard.rollback
    if rollback is not None:
        trusted = not (host.event or host.skip)
        rollback.see(guard.parameters, optimizer, guard.steps, trusted=trusted)
    outcome = Outcome(
        table=host.table,
        measured=statistics.measured,
        factors=host.factors,
        bound=decision.bound,
        repair=decision.repair,
        skipped=host.skip,
        restored=host.restore and rollback is not None and rollback.possible,
        loss=host.loss,
        parameters=host.parameters,
        rates=host.rates,
        unit_norms=host.unit_norms,
        unit_counts=host.unit_counts,
    )
    report = report_of(guard.steps, guard.names, outcome)
    checked = host.parameters if "parameter_nonfinite" in statistics.measured else None
    bad = () if checked is None else tuple(compress(guard.names, checked[:3, :-1].sum(0).tolist()))
    error = guard.streak.see(report, event=host.event, stop=host.stop, parameters=bad)
    if error is not None:
        untaken = replace(outcome, skipped=True, restored=False)
        return report_of(guard.steps, guard.names, untaken), error
    if report.restored and rollback is not None:
        rollback.restore()
    if host.skip:
        return report, None
    core.apply_(
        tensors,
        statistics.table,
        decision.bound,
        decision.repair,
        factors=decision.factors,
        overflow=measuring.overflow,
        unit_axis=measuring.unit_axis,
    )
    if bad and statistics.parameters_table is not None:
        # What was learnt stays: of a parameter never more is zeroed than is not finite.
        whole = isinstance(decision.repair, ZeroParameters)
        repair = ZeroElements() if whole else decision.repair
        core.apply_(tensors, statistics.parameters_table, Keep(), repair, gradients=False)
    if not measuring.knows_the_outcome(decision, host):
        after = measuring.again(guard.parameters)
        report = report_of(guard.steps, guard.names, replace(outcome, norm_after=after))
    return report, None

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
from gradcore.unscaling import folded, unscaled

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from gradcore.amp import Unscaled
    from gradcore.guard import Guard
    from gradcore.report import Report


@torch.no_grad()
def protect(
    guard: Guard,
    loss: Tensor | float | None,
    optimizer: Optimizer | None,
    unscaling: Unscaled,
) -> Report:
    """Everything of one step up to ``optimizer.step()``, of which optimizer if that is known.

    Returns:
        The report, without findings.

    Raises:
        NonfiniteGradientError: The step is to end the training; nothing was changed.
    """
    measuring, tensors = guard.measuring, guard.parameters.tensors
    unscaling.begin(guard.parameters, measuring)
    factor = unscaling.factor
    looking = guard.steps % guard.every == 0
    measured = measuring(guard.parameters, loss, looking=looking, factor=factor)
    statistics = unscaled(measured, factor)
    guard.bind(guard.names, statistics.table.device)
    decision = decide(statistics, guard.nonfinite, guard.clip)
    host = fetch(statistics, decision, loss, guard.parameters.rates(optimizer))
    require_factors(host.factors, guard.clip or guard.nonfinite)
    if unscaling.skips(guard.parameters, decision, host):
        host = replace(host, skip=True)
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
        loss_scale=unscaling.scale,
    )
    report = report_of(guard.steps, guard.names, outcome)
    checked = host.parameters if "parameter_nonfinite" in statistics.measured else None
    bad = () if checked is None else tuple(compress(guard.names, checked[:3, :-1].sum(0).tolist()))
    error = guard.streak.see(report, event=host.event, stop=host.stop, parameters=bad)
    if error is not None:
        untaken = replace(outcome, skipped=True, restored=False)
        guard.finish(report_of(guard.steps, guard.names, untaken))
        raise error
    if report.restored and rollback is not None:
        rollback.restore()
    unscaling.tell()
    if host.skip:
        return report
    bound, repair, factors = folded(decision, factor)
    core.apply_(
        tensors,
        measured.table,
        bound,
        repair,
        factors=factors,
        overflow=measuring.overflow / factor,
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
    return report

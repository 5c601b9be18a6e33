"""A step that a device is given as a whole: the host learns later what came of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from gradcore import core
from gradcore.awaited import UNFINISHED, Awaited, Captured
from gradcore.capturing import in_a_graph
from gradcore.errors import PluginError, ScalerError
from gradcore.fetching import ONE, require_factors
from gradcore.measuring import norm_of
from gradcore.plan import Clamp
from gradcore.reporting import Outcome, report_of
from gradcore.sending import Sent, queues
from gradcore.unscaling import folded
from gradcore.watching import show

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from gradcore.awaited import Replayable
    from gradcore.decision import Decision
    from gradcore.guard import Guard
    from gradcore.rates import Rates
    from gradcore.report import Report
    from gradcore.statistics import Statistics
    from gradcore.unscaled import Unscaled


def queueable(
    guard: Guard, statistics: Statistics, decision: Decision, unscaling: Unscaled
) -> bool:
    """Whether nobody on the host has to know anything before the optimizer steps.

    Somebody has where the step may be skipped and the optimizer cannot be told, where training may
    be rolled back or ended at once, and where parameters are looked at.
    """
    return (
        not statistics.table.is_cpu
        and queues(statistics.table.device.type)
        and guard.rollback is None
        and "parameter_nonfinite" not in statistics.measured
        and decision.stop is None
        and unscaling.queues(decision)
    )


def queued(
    guard: Guard,
    statistics: Statistics,
    decision: Decision,
    unscaling: Unscaled,
    rates: Rates | None,
    *,
    table: Tensor,
) -> Report:
    """Apply a decision, and tell the optimizer of a skip, without waiting for either.

    ``table`` is what was measured, of gradients that may be scaled; ``statistics`` are not.

    Factors outside [0, 1], which are an error, change nothing, and keep an optimizer that can be
    told from stepping.
    """
    measuring, tensors = guard.measuring, guard.parameters.tensors
    skipped, factors = unscaling.queued(decision, statistics), decision.factors
    skip = skipped
    if factors is not None:
        wrong = ((factors >= 0.0) & (factors <= 1.0)).all().logical_not()
        skip = wrong if skip is None else skip | wrong
    large = measuring.may_leave_large(decision)
    before = core.measure_table(tensors, ()) if large else None
    bound, repair, factors = folded(decision, unscaling.folds())
    core.apply_(
        tensors,
        table,
        bound,
        repair,
        factors=factors,
        skip=skip,
        overflow=measuring.overflow,
        unit_axis=measuring.unit_axis,
    )
    told = skip is not None and unscaling.can_tell
    if told and skip is not None:
        # A zero or a one, and nothing else: fused optimizers ask whether it is 1.
        unscaling.found_inf = skip.to(torch.float32)
    after = None
    if isinstance(decision.bound, Clamp) or (large and factors is not None and factors.ndim):
        after = core.measure_table(tensors, ())  # the norm may not follow from the rest
    sent = Sent(
        statistics,
        replace(decision, skip=skipped),
        rates,
        scaling=unscaling.to_learn,
        before=before,
        after=after,
    )
    conclude = partial(
        _conclude, guard, decision, statistics.measured, unscaling=unscaling, told=told
    )
    if in_a_graph():
        return Captured.again(guard.steps, partial(_replayed, guard, conclude, sent))
    return _on_its_way(guard, partial(conclude, sent=sent))


def _on_its_way(guard: Guard, conclude: Callable[..., Report]) -> Report:
    looking = guard.steps % guard.every == 0
    report = Awaited.of(guard.steps, partial(conclude, step=guard.steps, looking=looking))
    guard.last.report = report
    UNFINISHED.add(guard)
    return report


def _replayed(
    guard: Guard, conclude: Callable[..., Report], sent: Sent, graph: Replayable
) -> Report:
    """One more step that was captured."""
    guard.last.settle()
    graph.replay()
    report = _on_its_way(guard, partial(conclude, sent=sent.again()))
    guard.steps += 1
    return report


def _conclude(
    guard: Guard,
    decision: Decision,
    measured: frozenset[str],
    *,
    sent: Sent,
    unscaling: Unscaled,
    step: int,
    told: bool,
    looking: bool,
) -> Report:
    """The report of a step that is over, shown to everybody; the guard owes what it demands."""
    host, before, after = sent.fetched()
    try:
        unscaling.learn(host.scaling)
        require_factors(host.factors, guard.clip or guard.nonfinite)
    except (PluginError, ScalerError) as wrong:
        guard.last.error = wrong
        host = replace(host, factors=ONE, skip=host.skip or told)
    outcome = Outcome(
        host=host,
        decision=decision,
        measured=measured,
        skipped=host.skip,
        restored=False,
        loss_scale=unscaling.scale,
    )
    if not host.skip:
        if before is not None and guard.measuring.leaves_large(decision, host):
            outcome.norm_before = norm_of(before)
        if after is not None and not guard.measuring.knows_the_outcome(decision, host):
            outcome.norm_after = norm_of(after)
    report = report_of(step, guard.names, outcome)
    error = guard.streak.see(report, event=host.event, stop=False)
    guard.last.error = guard.last.error or error
    if looking:
        return show(report, guard.checks, guard.recorded, guard.sinks)
    return report

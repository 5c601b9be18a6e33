"""The heart of the arrow: measure, decide, apply, and say what was done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradcore import core
from gradcore.capturing import in_a_graph, memory_stays
from gradcore.decision import decide
from gradcore.fetching import fetch, require_factors
from gradcore.plan import Clamp, Keep, Scale, ZeroElements, ZeroParameters
from gradcore.queueing import queueable, queued
from gradcore.reporting import Outcome, report_of
from gradcore.sending import Sent
from gradcore.unscaling import folded

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from gradcore.decision import Decision
    from gradcore.distributed.job import Job
    from gradcore.fetching import Fetched
    from gradcore.guard import Guard
    from gradcore.plan import Repair
    from gradcore.rates import Rates
    from gradcore.report import Report
    from gradcore.statistics import Statistics
    from gradcore.unscaled import Unscaled


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
    with torch.set_grad_enabled(False):  # takes half of what no_grad() does
        guard.last.settle()
        job = guard.across.job(guard)
        if job is None:
            return _protect(guard, None, loss, optimizer, unscaling)
        try:
            return _protect(guard, job, loss, optimizer, unscaling)
        finally:
            job.shards.release_gradients()


def _protect(
    guard: Guard,
    job: Job | None,
    loss: Tensor | float | None,
    optimizer: Optimizer | None,
    unscaling: Unscaled,
) -> Report:
    """The same, on one of many ranks or for the only one."""
    measuring = guard.measuring
    parameters = guard.parameters if job is None else job.shards
    begin = partial(unscaling.begin, guard.parameters, measuring)
    begin() if job is None else job.begin(begin, unscaling, optimizer)
    looking = guard.steps % guard.every == 0 or in_a_graph()  # one that will be replayed
    measure = partial(measuring, parameters, loss, looking=looking, factor=unscaling.factor)
    measured, statistics = _measured(job, measure, unscaling)
    names = guard.names if job is None else job.names
    guard.bind(names, statistics.table.device)
    with _memory(guard, statistics):
        decision = decide(statistics, guard.nonfinite, guard.clip)
    rates = guard.parameters.rates(optimizer)
    if job is None and queueable(guard, statistics, decision, unscaling):
        return queued(guard, statistics, decision, unscaling, rates, table=measured.table)
    host = _fetched(job, statistics, decision, loss, rates, scaling=unscaling.to_learn)
    unscaling.learn(host.scaling)
    factor = unscaling.factor
    require_factors(host.factors, guard.clip or guard.nonfinite)
    again = partial(measuring.again, parameters) if job is None else job.norm
    if unscaling.skips(decision, host, again):
        host = replace(host, skip=True)
    rollback = guard.rollback
    if rollback is not None:
        trusted = not (host.event or host.skip)
        rollback.see(guard.parameters, optimizer, guard.steps, trusted=trusted, job=job)
    outcome = Outcome(
        host=host,
        decision=decision,
        measured=statistics.measured,
        skipped=host.skip,
        restored=host.restore and rollback is not None and rollback.possible,
        loss_scale=unscaling.scale,
        nonfinite_ranks=None if job is None else job.nonfinite_ranks,
        unlike_ranks=None if job is None else job.unlike_ranks,
    )
    report = report_of(guard.steps, names, outcome)
    bad = _bad_parameters(names, statistics, host)
    error = guard.streak.see(report, event=host.event, stop=host.stop, parameters=bad)
    if error is not None:
        untaken = replace(outcome, skipped=True, restored=False)
        guard.finish(report_of(guard.steps, names, untaken))
        raise error
    if report.restored and rollback is not None:
        rollback.restore()
    unscaling.tell()
    if host.skip or _leaves_all(decision, host, factor):
        return report
    alone = job is None and not bad and _is_one_factor(decision, host)
    if alone and unscaling.leave(parameters.tensors, host.factors.item()):
        return replace(report, scaled_by_optimizer=True)
    table = measured.table
    if job is not None:
        table, decision = job.own(measured, statistics, decision)
    outcome.norm_before = again() * factor if measuring.leaves_large(decision, host) else None
    bound, repair, factors = folded(decision, factor)
    core.apply_(
        parameters.tensors,
        table,
        bound,
        repair,
        factors=factors,
        overflow=measuring.overflow / factor,
        unit_axis=measuring.unit_axis,
    )
    of_parameters = measured.parameters_table if bad else None
    _repair(parameters.tensors, of_parameters, decision.repair)
    outcome.norm_after = None if measuring.knows_the_outcome(decision, host) else again()
    if (outcome.norm_before, outcome.norm_after) != (None, None):
        report = report_of(guard.steps, names, outcome)
    return report


def _memory(guard: Guard, statistics: Statistics) -> AbstractContextManager[None]:
    if statistics.table.is_cpu or not in_a_graph():
        return nullcontext()
    return memory_stays(guard.nonfinite, guard.clip)


def _repair(parameters: list[Tensor], table: Tensor | None, repair: Repair) -> None:
    """Repair parameters themselves, if ``table`` finds fault with some."""
    if table is not None:
        # What was learnt stays: of a parameter never more is zeroed than is not finite.
        repair = ZeroElements() if isinstance(repair, ZeroParameters) else repair
        core.apply_(parameters, table, Keep(), repair, gradients=False)


def _fetched(
    job: Job | None,
    statistics: Statistics,
    decision: Decision,
    loss: Tensor | float | None,
    rates: Rates | None,
    *,
    scaling: Tensor | None,
) -> Fetched:
    """Numbers on the host, which waits for them once if they are on a device."""
    if statistics.table.is_cpu:
        host = fetch(statistics, decision, loss if job is None else statistics.loss, rates)
    else:
        host, _, _ = Sent(statistics, decision, rates, scaling=scaling).fetched()
    return host if job is None else job.judged(decision, host)


def _measured(
    job: Job | None, measure: Callable[[], Statistics], unscaling: Unscaled
) -> tuple[Statistics, Statistics]:
    """What this process measured, and what it decides by: all ranks', and as if unscaled."""
    if job is None:
        local = measure()
        return local, unscaling.unscaled(local)
    local, joined = job.measured(measure)
    return local, unscaling.unscaled(joined)


def _leaves_all(decision: Decision, host: Fetched, factor: float) -> bool:
    """Whether every gradient is to stay what it is, bit for bit."""
    if host.event or factor != 1.0 or isinstance(decision.bound, Clamp):
        return False
    factors = host.factors
    return bool((factors == 1.0).all()) if factors.ndim else factors.item() == 1.0


def _is_one_factor(decision: Decision, host: Fetched) -> bool:
    """Whether all there is to do is to multiply every gradient by the same number."""
    return not host.event and isinstance(decision.bound, Scale) and not host.factors.ndim


def _bad_parameters(
    names: tuple[str, ...], statistics: Statistics, host: Fetched
) -> tuple[str, ...]:
    """Names of parameters that are not finite themselves, if those are looked at."""
    if host.parameters is None or "parameter_nonfinite" not in statistics.measured:
        return ()
    return tuple(compress(names, host.parameters[:3, :-1].sum(0).tolist()))

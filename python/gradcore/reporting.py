"""From what was measured and done to a `Report`: host arithmetic on a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gradcore.parameter_table import ParameterTable, Table
from gradcore.plan import Propagate, Replace, ZeroParameters
from gradcore.report import Counts, Report
from gradcore.statistics import ROWS

if TYPE_CHECKING:
    from gradcore.decision import Decision
    from gradcore.fetching import Fetched

L2 = ROWS.index("l2")
NONFINITE = slice(ROWS.index("nan"), ROWS.index("neginf") + 1)
ONE = np.ones(())
NOTHING = Counts()


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one step measured and did, on the host."""

    host: Fetched
    """What was measured, and what gradients were multiplied by."""
    decision: Decision
    """Of which bound and repair count."""
    measured: frozenset[str]
    skipped: bool
    restored: bool
    loss_scale: float | None = None
    nonfinite_ranks: str | None = None
    """Ranks that hold something that is not finite, where there are several."""
    norm_before: float | None = None
    """The norm as it was measured before anything, where elements beyond ``overflow`` stay."""
    unlike_ranks: str | None = None
    """Ranks whose finite gradients are not those of the rank they are copies of."""
    norm_after: float | None = None
    """The norm as it was measured after everything, where it does not follow from the rest."""


def report_of(step: int, names: tuple[str, ...], outcome: Outcome) -> Report:
    """Everything a report says, except findings."""
    host, decision, skipped = outcome.host, outcome.decision, outcome.skipped
    counts = _counted(host.totals[NONFINITE])
    bad = counts.total
    norm = _norm(outcome, counts)
    factors = ONE if skipped else host.factors
    scale = _smallest(factors)
    clipped_norm = norm
    if outcome.norm_after is not None:
        clipped_norm = outcome.norm_after
    elif factors.ndim and scale < 1.0 and math.isfinite(norm):
        # Added up in another order than the measured norm, so it may round to more than that.
        clipped_norm = min(norm, _euclidean(_norms(outcome) * factors))
    elif scale < 1.0:
        clipped_norm = norm if factors.ndim else norm * scale
    clipped = scale < 1.0 or clipped_norm < norm
    first, last_clean = _first_nonfinite(names, host.table) if bad else (None, None)
    of_parameters = NOTHING
    if host.parameters is not None:
        of_parameters = _counted(host.parameters[:3, -1].tolist())
    repaired = bad
    if "parameter_nonfinite" in outcome.measured:
        repaired += of_parameters.total
    if skipped or isinstance(decision.repair, Propagate):
        repaired = 0
    loss_is_finite = host.loss is None or math.isfinite(host.loss)
    share = 1.0 - bad / host.totals[1] if bad else 1.0
    ratio = scale
    if math.isfinite(norm):
        ratio = clipped_norm / norm if norm > 0.0 else 1.0
    untaken = 0.25 if outcome.restored else 0.5 if skipped else 1.0
    stability = share**4 * math.sqrt(min(1.0, ratio)) * untaken
    return Report(
        step=step,
        norm=norm,
        clipped_norm=clipped_norm,
        scale=scale,
        clipped=clipped,
        nonfinite=counts,
        repaired=repaired,
        skipped=skipped,
        restored=outcome.restored,
        loss=host.loss,
        parameters=ParameterTable(
            names,
            host.rows,
            _of_rows(factors, host.unit_counts),
            outcome.measured,
            replaced=isinstance(decision.repair, Replace),
            parameter_norms=None if host.parameters is None else host.parameters[3, :-1],
            rates=host.rates,
        ),
        first_nonfinite=first,
        last_clean=last_clean,
        nonfinite_ranks=outcome.nonfinite_ranks,
        unlike_ranks=outcome.unlike_ranks,
        nonfinite_parameters=of_parameters,
        loss_scale=outcome.loss_scale,
        healthy=bad == 0 and loss_is_finite and of_parameters.total == 0,
        stability=float(stability) if loss_is_finite else 0.0,
    )


def _smallest(factors: Table) -> float:
    if not factors.ndim:
        return factors.item()
    return min(1.0, float(factors.min())) if factors.size else 1.0


def _counted(counts: list[float]) -> Counts:
    """How many elements are NaN, +Inf and -Inf."""
    return Counts(*map(int, counts)) if any(counts) else NOTHING


def _norms(outcome: Outcome) -> Table:
    """The norm of each gradient, or of each unit if they have factors, without clipping."""
    host = outcome.host
    norms = host.table[L2, :-1] if host.unit_norms is None else host.unit_norms
    if isinstance(outcome.decision.repair, ZeroParameters) and not outcome.skipped:
        bad = host.table[NONFINITE, :-1].sum(0) > 0
        norms = np.where(
            bad if host.unit_counts is None else bad[_rows(host.unit_counts)], 0.0, norms
        )
    return norms


def _rows(counts: Table) -> npt.NDArray[np.intp]:
    """Which parameter each unit is of."""
    return np.repeat(np.arange(counts.size), counts.astype(np.intp))


def _of_rows(factors: Table, counts: Table | None) -> Table:
    """The factor of each parameter: the smallest of its units, if they have some."""
    if counts is None or not factors.ndim:
        return factors
    smallest = np.ones(counts.size)
    np.minimum.at(smallest, _rows(counts), factors)
    return smallest


def _norm(outcome: Outcome, counts: Counts) -> float:
    """The joint norm likewise."""
    if outcome.norm_before is not None:
        return outcome.norm_before
    if counts.total and not outcome.skipped:
        if isinstance(outcome.decision.repair, Propagate):
            return math.nan if counts.nan else math.inf
        if isinstance(outcome.decision.repair, ZeroParameters):
            return _euclidean(_norms(outcome))
    return outcome.host.totals[L2]


def _euclidean(norms: Table) -> float:
    """sqrt(sum of squares), divided by the largest first so that no square overflows."""
    largest = float(norms.max(initial=0.0))
    if largest == 0.0 or math.isinf(largest):
        return largest
    return largest * math.sqrt(float(np.square(norms / largest).sum()))


def _first_nonfinite(names: tuple[str, ...], table: Table) -> tuple[str, str | None]:
    """The last parameter in model order that is not finite, and the next with a gradient."""
    bad = table[NONFINITE, :-1].sum(0) > 0
    first = int(np.flatnonzero(bad)[-1])
    after = np.flatnonzero(table[0, first + 1 : -1] > 0)
    return names[first], names[first + 1 + int(after[0])] if after.size else None

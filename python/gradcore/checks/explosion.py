"""Norms beyond all that was usual, or beyond a bound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from gradcore.checks.past import norms_before
from gradcore.checks.standing import require_reach, said
from gradcore.parameter_table import column, names_of
from gradcore.report import Finding
from gradcore.validation import require_count, require_threshold

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.report import Report, Severity

CRITICAL: Final = 100.0
"""So many times the limit is critical."""


@dataclass(frozen=True, slots=True)
class Explosion:
    """Warn where the joint norm is far above its own history, or above a fixed bound.

    The limit is ``bound`` or ``factor`` times the median of the norms before, whichever is lower;
    a norm of 100 times that is critical.  The norm is that before clipping.  Said at its onset and,
    while it lasts, every ``again`` reports; at once where it turns critical.  For single steps that
    stand out see `Spike`.

    Args:
        bound: Largest norm that is not remarkable whatever the history, > 0; infinite for none.  Of
            a loss that is a sum over a large batch, norms are larger: give a bound of your own.
        factor: Times the median, > 0; infinite to mind ``bound`` alone.
        window: Reports that the median is of, >= 1.
        warmup: Finite norms that there must be for a median to mean something, >= 1.
        again: Reports until a lasting condition is said once more, 1 to 100.

    Raises:
        ValueError: An option is out of its range.
    """

    name: ClassVar[str] = "explosion"

    bound: float = 100.0
    factor: float = 10.0
    window: int = 100
    warmup: int = 20
    again: int = 100

    def __post_init__(self) -> None:
        require_threshold("bound", self.bound)
        require_threshold("factor", self.factor)
        require_count("window", self.window)
        require_count("warmup", self.warmup)
        require_reach("again", self.again)

    def __call__(self, report: Report, history: History) -> Iterator[Finding]:
        before = norms_before(history, self.window)
        usual = float(np.median(before)) if len(before) >= self.warmup else 0.0
        limit = min(self.bound, self.factor * usual if usual > 0.0 else math.inf)
        if not report.norm > limit:
            return
        severity: Severity = "critical" if report.norm >= CRITICAL * limit else "warning"
        if any(said(history, self.name, severity, self.again)):
            return
        values = {"norm": report.norm, "limit": limit}
        if usual > 0.0:
            values["median"] = usual
        where, words = _largest(report)
        yield Finding(
            check=self.name,
            severity=severity,
            message=f"The gradient's norm is {report.norm:.3g}, {self._beyond(report.norm, usual)}"
            f"{words}.",
            recommendation=_advice(report, usual),
            parameters=where,
            values=values,
        )

    def _beyond(self, norm: float, usual: float) -> str:
        if usual > 0.0 and norm > self.factor * usual:
            return f"{norm / usual:.3g} times its recent median of {usual:.3g}"
        return f"above the bound of {self.bound:.3g}"


def _largest(report: Report) -> tuple[tuple[str, ...], str]:
    """The parameter whose gradient is largest, and words about it."""
    norms = column(report.parameters, "norm")
    if not np.any(norms > 0.0):
        return (), ""
    i = int(np.nanargmax(norms))
    name = names_of(report.parameters)[i]
    return (name,), f"; the largest part is that of {name!r}, {norms[i]:.3g}"


def _advice(report: Report, usual: float) -> str:
    if report.skipped:
        return "It was skipped. If this returns, lower the learning rate or warm it up longer."
    if report.clipped:
        return (
            f"Clipping brought it down to {report.clipped_norm:.3g}. If it lasts, lower the "
            "learning rate or warm it up longer, and look at the data of this step."
        )
    bound = f"{2.0 * usual:.2g}" if usual > 0.0 else "1.0"
    return f"Bound it, for instance by Guard(max_norm={bound}), and lower the learning rate."

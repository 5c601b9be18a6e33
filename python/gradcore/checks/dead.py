"""Gradients of nothing but zeros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gradcore.checks.standing import Mask, in_a_row, require_reach, unsaid
from gradcore.checks.wording import counted, listed
from gradcore.parameter_table import column, names_of
from gradcore.report import Finding

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.report import Report, Severity


@dataclass(frozen=True, slots=True)
class Dead:
    """Warn of parameters whose gradient is exactly zero, step after step; critical if all are.

    Said of a parameter at its onset and then every ``again`` reports.  A parameter that has no
    gradient at all is for `Missing` to tell.

    Args:
        steps: Reports in a row in which every element is zero, 1 to 100.  One that is zero at first
            is no reason for alarm: what stands before a layer that begins at zero is.
        again: Reports until a lasting condition is said once more, 1 to 100.

    Raises:
        ValueError: An option is out of its range.
    """

    name: ClassVar[str] = "dead"

    steps: int = 10
    again: int = 100

    def __post_init__(self) -> None:
        require_reach("steps", self.steps)
        require_reach("again", self.again)

    def __call__(self, report: Report, history: History) -> Iterator[Finding]:
        dead = in_a_row(report, history, self.steps, _is_zero)
        if not dead.any():
            return
        everywhere = bool(dead[~np.isnan(column(report.parameters, "norm"))].all())
        severity: Severity = "critical" if everywhere else "warning"
        names = names_of(report.parameters)
        new = unsaid(
            [names[i] for i in np.flatnonzero(dead)], history, self.name, severity, self.again
        )
        if not new:
            return
        yield Finding(
            check=self.name,
            severity=severity,
            message=f"The gradient of {counted(len(new), 'parameter')} has been exactly zero for "
            f"{self.steps} steps{', and so have all others' if everywhere else ''}: {listed(new)}.",
            recommendation="Look for units that are never active (for ReLU: a lower learning rate, "
            "GELU or LeakyReLU), for a mask or a detach() on the way to the loss, and in float16 "
            "for underflow, which a larger loss scale cures.",
            parameters=tuple(new),
            values={"parameters": float(len(new)), "steps": float(self.steps)},
        )


def _is_zero(report: Report) -> Mask:
    rows = report.parameters
    bad = column(rows, "nan") + column(rows, "posinf") + column(rows, "neginf")
    zero: Mask = (column(rows, "norm") == 0.0) & (column(rows, "numel") > 0.0) & (bad == 0.0)
    return zero

"""Parameters that get no gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from gradcore.checks.standing import REACH, Mask, in_a_row, is_of, require_reach, unsaid
from gradcore.checks.wording import counted, listed
from gradcore.parameter_table import column, names_of
from gradcore.report import Finding

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.report import Report, Severity


WORDS: Final[Mapping[Severity, tuple[str, str]]] = {
    "critical": (
        "No parameter has had a gradient for {steps} steps.",
        (
            "Call loss.backward() before the step and zero_grad() after it, and make the guard for "
            "the parameters that the loss depends on."
        ),
    ),
    "warning": (
        "{parameters} with a gradient before, and none for {steps} steps: {names}.",
        (
            "Unless they were frozen on purpose, look for a branch that is no longer taken, a "
            "detach() or a no_grad() on the way to the loss."
        ),
    ),
    "info": (
        "{parameters} without a gradient: {names}.",
        (
            "If they are frozen on purpose, guard only those that train; else connect them to the "
            "loss."
        ),
    ),
}
"""What is said, and advised."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Tell of parameters whose gradient is None, step after step.

    An information about those that had none in any of the last 100 reports, which is what frozen
    ones look like; a warning of those that had one among them and no longer have; critical if no
    parameter has any.  Said of a parameter at its onset and then every ``again`` reports.

    Args:
        steps: Reports in a row without a gradient, 1 to 100.
        again: Reports until a lasting condition is said once more, 1 to 100.

    Raises:
        ValueError: An option is out of its range.
    """

    name: ClassVar[str] = "missing"

    steps: int = 10
    again: int = 100

    def __post_init__(self) -> None:
        require_reach("steps", self.steps)
        require_reach("again", self.again)

    def __call__(self, report: Report, history: History) -> Iterator[Finding]:
        missing = in_a_row(report, history, self.steps, _is_missing)
        if not missing.any():
            return
        if missing.all():
            yield from self._finding(report, history, missing, "critical")
            return
        lost = missing & _had(report, history)
        yield from self._finding(report, history, lost, "warning")
        yield from self._finding(report, history, missing & ~lost, "info")

    def _finding(
        self, report: Report, history: History, missing: Mask, severity: Severity
    ) -> Iterator[Finding]:
        names = names_of(report.parameters)
        which = [names[i] for i in np.flatnonzero(missing)]
        new = unsaid(which, history, self.name, severity, self.again)
        if not new:
            return
        said, advice = WORDS[severity]
        yield Finding(
            check=self.name,
            severity=severity,
            message=said.format(
                parameters=counted(len(new), "parameter"), names=listed(new), steps=self.steps
            ),
            recommendation=advice,
            parameters=tuple(new),
            values={"parameters": float(len(new)), "steps": float(self.steps)},
        )


def _is_missing(report: Report) -> Mask:
    return np.isnan(column(report.parameters, "norm"))


def _had(report: Report, history: History) -> Mask:
    """Which parameters had a gradient in one of the reports that are held whole."""
    names = names_of(report.parameters)
    had = np.zeros(len(names), dtype=np.bool_)
    for back in range(1, min(REACH, len(history)) + 1):
        if is_of(history[-back], names):
            had |= ~_is_missing(history[-back])
    return had

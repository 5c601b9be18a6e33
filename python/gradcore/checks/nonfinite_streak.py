"""NaN and infinity, step after step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gradcore.checks.standing import require_reach, said
from gradcore.report import Finding
from gradcore.validation import require_count

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.report import Report


@dataclass(frozen=True, slots=True)
class NonfiniteStreak:
    """Warn of several non-finite steps in a row, and of parameters that are not finite.

    A step is non-finite if its gradients or its loss are.  Single ones are normal under mixed
    precision, which finds its loss scale by them.  Parameters that hold NaN are critical at once,
    if anybody had them looked at; they are said once in ``again`` reports.  A streak is said when
    it is ``steps`` long, as critical when it is ``critical`` long, and every ``again`` from there.

    Args:
        steps: Length of a streak that is worth a warning, >= 1.
        critical: Length at which it is critical, >= ``steps``.
        again: Reports until it is said once more, 1 to 100.

    Raises:
        ValueError: An option is out of its range.
    """

    name: ClassVar[str] = "nonfinite_streak"

    steps: int = 5
    critical: int = 20
    again: int = 100

    def __post_init__(self) -> None:
        require_count("steps", self.steps)
        if require_count("critical", self.critical) < self.steps:
            raise ValueError(f"critical must be at least steps={self.steps}; got {self.critical}.")
        require_reach("again", self.again)

    def __call__(self, report: Report, history: History) -> Iterator[Finding]:
        yield from self._parameters(report, history)
        if not _is_event(report):
            return
        length = 1 + _streak(history)
        critical = length >= self.critical
        if not critical and length != self.steps:
            return
        if critical and self._said("length", history):
            return
        count = report.nonfinite.total
        what = f"{count} elements, first in {report.first_nonfinite!r}" if count else "the loss"
        yield Finding(
            check=self.name,
            severity="critical" if critical else "warning",
            message=f"{length} non-finite steps in a row; in this one {what}.",
            recommendation="Go back to a checkpoint from before and lower the learning rate. "
            "gradcore.monitors.trace_nonfinite(model) names the module that makes them; look there "
            "for a division, a logarithm or a root of zero.",
            parameters=() if report.first_nonfinite is None else (report.first_nonfinite,),
            values={"length": float(length), "elements": float(count)},
        )

    def _parameters(self, report: Report, history: History) -> Iterator[Finding]:
        count = report.nonfinite_parameters.total
        if count == 0 or self._said("parameter_elements", history):
            return
        yield Finding(
            check=self.name,
            severity="critical",
            message=f"{count} elements of the parameters themselves are NaN or infinite.",
            recommendation="No later step can mend them: load a checkpoint from before, and keep "
            'a policy that lets none through, such as nonfinite="skip".',
            values={"parameter_elements": float(count)},
        )

    def _said(self, value: str, history: History) -> bool:
        found = said(history, self.name, "critical", self.again)
        return any(value in finding.values for finding in found)


def _is_event(report: Report) -> bool:
    return report.nonfinite.total > 0 or (
        report.loss is not None and not bool(np.isfinite(report.loss))
    )


def _streak(history: History) -> int:
    """Non-finite reports at the end of a history."""
    length = 0
    while length < len(history) and _is_event(history[-1 - length]):
        length += 1
    return length

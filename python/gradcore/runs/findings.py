"""What health checks found in a run, one entry a check."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gradcore.report import Finding, Report

RANK: Final = {"critical": 0, "warning": 1, "info": 2}
"""The worst first."""


@dataclass(slots=True)
class Found:
    """How often a check found something, and what it said where that was worst."""

    finding: Finding
    """The first one of the worst severity."""
    step: int
    """Where that one is of."""
    first: int
    last: int
    times: int = 0
    parameters: Counter[str] = field(default_factory=Counter)
    """How often each parameter was named."""


class FindingsBuilder:
    """Takes in the findings of one report after the other."""

    def __init__(self) -> None:
        self._found: dict[str, Found] = {}

    def add(self, report: Report) -> None:
        """Take in those of the next step."""
        for finding in report.findings:
            found = self._found.setdefault(
                finding.check, Found(finding, report.step, report.step, report.step)
            )
            if RANK[finding.severity] < RANK[found.finding.severity]:
                found.finding, found.step = finding, report.step
            found.last = report.step
            found.times += 1
            found.parameters.update(finding.parameters)

    def findings(self) -> list[Found]:
        """The worst first, and among those alike the first that was seen."""
        return sorted(self._found.values(), key=lambda f: (RANK[f.finding.severity], f.first))

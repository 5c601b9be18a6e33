"""What is known of a run that is being watched."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcore.history import History
from gradcore.tally import is_event

if TYPE_CHECKING:
    from gradcore.cli.watch.following import Follower
    from gradcore.parameter_table import ParameterReport
    from gradcore.report import Finding, Report

KEPT = 20_000
"""Steps of which curves are drawn."""

EVENTS = 50
SPEED = 50
"""Steps over which the speed is told."""


@dataclass(slots=True)
class Found:
    """How often a check found something, and what it said last."""

    finding: Finding
    step: int
    times: int = 1


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a layer has gone through."""

    row: ParameterReport
    """Of the last step that tells of layers."""
    nonfinite: int
    """Steps in which its gradient was not finite."""
    findings: int
    """Findings of a warning or worse that name it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a step adds to the counts of layers and checks, to be taken back if it is again."""

    step: int
    bad: tuple[str, ...]
    """Layers whose gradient was not finite."""
    findings: tuple[Finding, ...]


class Progress:
    """Takes in the reports of a run, and keeps what is to be shown."""

    def __init__(self) -> None:
        self.history = History(KEPT)
        self.events: deque[Report] = deque(maxlen=EVENTS)
        """The last steps that were not finite, skipped or rolled back, oldest first."""
        self.found: dict[str, Found] = {}
        """By check, the last one last."""
        self.last: Report | None = None
        self._rows: Report | None = None
        self._marks: deque[Mark] = deque(maxlen=KEPT)
        self._nonfinite: Counter[str] = Counter()
        self._named: Counter[str] = Counter()
        self._times: deque[float] = deque(maxlen=SPEED)

    def take(self, follower: Follower) -> None:
        """Take in what is new."""
        for report in follower:
            self.add(report)
            if follower.decoder.time is not None:
                self._times.append(follower.decoder.time)

    def add(self, report: Report) -> None:
        """Take in one report; steps that are taken again take the place of the first."""
        if self.last is not None and report.step <= self.last.step:
            self._forget_from(report.step)
        self.history.append(report)
        self.last = report
        self._rows = report if report.parameters else self._rows
        if is_event(report) or report.skipped or report.restored:
            self.events.append(report)
        if report.nonfinite.total or report.findings:
            rows = report.parameters if report.nonfinite.total else ()
            bad = tuple(row.name for row in rows if row.nan or row.posinf or row.neginf)
            self._marks.append(Mark(report.step, bad, tuple(report.findings)))
            self._count(self._marks[-1])

    def _forget_from(self, step: int) -> None:
        """Drop this step and later ones from all that is shown."""
        self.history.forget_from(step)
        while self.events and self.events[-1].step >= step:
            self.events.pop()
        while self._marks and self._marks[-1].step >= step:
            self._marks.pop()
        self.found.clear()
        self._nonfinite.clear()
        self._named.clear()
        for mark in self._marks:
            self._count(mark)

    def _count(self, mark: Mark) -> None:
        self._nonfinite.update(mark.bad)
        for finding in mark.findings:
            self._note(finding, mark.step)

    def _note(self, finding: Finding, step: int) -> None:
        before = self.found.pop(finding.check, None)
        self.found[finding.check] = Found(finding, step, before.times + 1 if before else 1)
        if finding.severity != "info":
            self._named.update(finding.parameters)

    def speed(self) -> float | None:
        """Steps a second of late; None if that is not known."""
        if len(self._times) < 2 or self._times[-1] <= self._times[0]:  # noqa: PLR2004 - a span has two ends
            return None
        return (len(self._times) - 1) / (self._times[-1] - self._times[0])

    def worst(self, most: int) -> list[Trouble]:
        """Layers by non-finite steps, then by findings, then by norm, the most first."""
        rows: Iterable[ParameterReport] = self._rows.parameters if self._rows else ()
        troubles = [Trouble(row, self._nonfinite[row.name], self._named[row.name]) for row in rows]
        troubles.sort(key=lambda t: (-t.nonfinite, -t.findings, -(t.row.norm or 0.0)))
        return troubles[:most]

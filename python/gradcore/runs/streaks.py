"""Steps at which something was not finite, skipped or rolled back, joined where they follow on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcore.tally import is_event

if TYPE_CHECKING:
    from gradcore.report import Report


@dataclass(slots=True)
class Streak:
    """Reports that followed one another, with something the matter in each."""

    first: int
    """The first step."""
    first_nonfinite: str | None
    """Of the first step: the parameter whose gradient went bad first."""
    last_clean: str | None
    """Of the first step: the parameter whose gradient was computed just before."""
    last: int = 0
    steps: int = 0
    nan: int = 0
    """Elements of gradients, over all steps; so are the next two."""
    posinf: int = 0
    neginf: int = 0
    parameters: int = 0
    """Non-finite elements of parameters, over all steps in which they were looked at."""
    losses: int = 0
    """Steps with a non-finite loss."""
    skipped: int = 0
    restored: int = 0
    repaired: int = 0
    """Elements."""

    def add(self, report: Report) -> None:
        """Take in one more."""
        self.last = report.step
        self.steps += 1
        self.nan += report.nonfinite.nan
        self.posinf += report.nonfinite.posinf
        self.neginf += report.nonfinite.neginf
        self.parameters += report.nonfinite_parameters.total
        self.losses += report.loss is not None and not math.isfinite(report.loss)
        self.skipped += report.skipped
        self.restored += report.restored
        self.repaired += report.repaired


class StreaksBuilder:
    """Takes in one report after the other."""

    def __init__(self) -> None:
        self.streaks: list[Streak] = []
        self._open = False

    def add(self, report: Report) -> None:
        """Take in the next step."""
        parameters = report.nonfinite_parameters.total > 0
        event = is_event(report) or parameters or report.skipped or report.restored
        if event and not self._open:
            streak = Streak(report.step, report.first_nonfinite, report.last_clean)
            self.streaks.append(streak)
        if event:
            self.streaks[-1].add(report)
        self._open = event

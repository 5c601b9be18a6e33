"""What happened in one run of the demo, in numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradcore.cli.demo.faults import Fault
    from gradcore.report import Report


@dataclass(slots=True)
class Run:
    """One run, filled in while it goes on."""

    name: str
    sizes: dict[str, int]
    """Numbers in each parameter of the model, in model order."""

    before: float
    """Validation loss before the first step, in nats per character."""

    after: float = math.nan
    """Validation loss after the last step."""

    nonfinite_parameters: int = 0
    """Numbers of the model that are NaN or infinite in the end."""

    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    """Training loss at each step, before the update."""

    norms: list[float] = field(default_factory=list)
    """Joint gradient norm at each step before clipping, as whoever clips measured it."""

    planted: list[Fault] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    """gradcore's, one a step; empty where gradcore did not look."""

    stopped: str = ""
    """What gradcore said if its policy ended the run early."""

    @property
    def alive(self) -> bool:
        """The model's parameters and its validation loss are finite."""
        return self.nonfinite_parameters == 0 and math.isfinite(self.after)

    @property
    def skipped(self) -> int:
        """Steps that gradcore did not let happen."""
        return sum(report.skipped for report in self.reports)

    @property
    def repaired(self) -> int:
        """Gradient elements that gradcore gave another value."""
        return sum(report.repaired for report in self.reports)

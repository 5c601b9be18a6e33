"""A run, as far as its reports tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gradcore.logfile import LoggedTable
from gradcore.parameter_table import names_of
from gradcore.runs.columns import Numbers, names_and_columns
from gradcore.runs.findings import FindingsBuilder, Found
from gradcore.runs.grid import Grid, GridBuilder
from gradcore.runs.moments import Moments, MomentsBuilder
from gradcore.runs.streaks import Streak, StreaksBuilder

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.report import Report

Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that is shown of a run."""

    arrays: Mapping[str, Numbers]
    """What `History.to_arrays` gives."""
    given_loss: Flags
    """At which steps the loss was given: bool ``[steps]``."""
    summary: Mapping[str, float]
    """What `History.summary` gives."""
    grid: Grid | None
    """None if no report told of parameters."""
    moments: Moments
    findings: Sequence[Found]
    streaks: Sequence[Streak]

    @property
    def events(self) -> Flags:
        """Steps in which gradients or loss were not finite: bool ``[steps]``."""
        elements = self.arrays["nan"] + self.arrays["posinf"] + self.arrays["neginf"]
        return (elements > 0) | (self.given_loss & ~np.isfinite(self.arrays["loss"]))

    @property
    def bounds(self) -> Numbers:
        """The norm that a step was scaled down to: ``[steps]``.

        NaN where nothing was clipped, or not by one factor for all, which tells of no bound.
        """
        norm, after = self.arrays["norm"], self.arrays["clipped_norm"]
        with np.errstate(over="ignore", invalid="ignore"):
            alike = np.isclose(norm * self.arrays["scale"], after, rtol=1e-6, atol=0.0)
        return np.where((self.arrays["clipped"] > 0) & np.isfinite(norm) & alike, after, np.nan)

    @property
    def spacing(self) -> float:
        """Steps from one report that tells of parameters to the next, as a rule."""
        return float(np.median(np.diff(self.moments.step))) if len(self.moments.step) > 1 else 1.0


class Census:
    """Counts parameters and tables, so that it is known how large the grid will be."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        """In the order in which they were first told of."""
        self._last: Sequence[str] = ()

    def add(self, report: Report) -> bool:
        """Take in one report; returns whether it tells of parameters."""
        rows = report.parameters
        names = rows.names if isinstance(rows, LoggedTable) else names_of(rows)
        if names is not self._last:
            self.names.update(dict.fromkeys(names))
            self._last = names
        return len(rows) > 0


def build(history: History, reports: Iterable[Report], names: Sequence[str], tables: int) -> Run:
    """Put a run together.

    Args:
        history: All of its steps; tables and findings are not looked at.
        reports: The same, whole where that is known.
        names: Of all their parameters.
        tables: How many reports have rows of parameters.
    """
    grid = GridBuilder(names, tables) if names and tables else None
    moments, findings, streaks = MomentsBuilder(), FindingsBuilder(), StreaksBuilder()
    given = []
    for report in reports:
        given.append(report.loss is not None)
        findings.add(report)
        streaks.add(report)
        if report.parameters and grid is not None:
            told, read = names_and_columns(report.parameters)
            grid.add(report.step, told, read)
            moments.add(report.step, read)
    return Run(
        history.to_arrays(),
        np.array(given, np.bool_),
        history.summary(),
        grid.grid() if grid is not None else None,
        moments.moments(),
        findings.findings(),
        streaks.streaks,
    )


def run_of(history: History) -> Run:
    """What a history holds: the scalars of all its steps, parameters and findings of the last ones.

    Raises:
        ValueError: It is empty.
    """
    if not len(history):
        raise ValueError("The history is empty: there is no step to show yet.")
    census = Census()
    tables = sum([census.add(report) for report in history])
    return build(history, history, list(census.names), tables)

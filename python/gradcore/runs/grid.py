"""Norms of every parameter over a run, in a table that never gets large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from gradcore.runs.columns import Numbers, Read

MOST_ROWS: Final = 1000
MOST_COLUMNS: Final = 1000
MOST_CELLS: Final = 300_000
"""Bounds of what is drawn: more could not be told apart, and a page has to stay small."""

Singles: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Whole: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Grid:
    """One row a parameter, one column a step; several to a cell where there are many."""

    names: Sequence[str]
    """Of the rows; ``first … last`` where a row stands for several parameters."""

    parameters: int
    """How many there are."""

    steps: int
    """How many steps told of parameters."""

    first: Whole
    """The first step of each column."""

    last: Whole
    """The last step of each column."""

    log_norm: Singles
    """log10 of the largest norm in each cell: float32 ``[rows, columns]``; -inf where all norms are
    zero, NaN where none was measured."""

    nonfinite: Whole
    """In how many steps of each cell the gradient was not finite: int64 ``[rows, columns]``; it is
    counted for each parameter where a row stands for several."""

    first_nonfinite: Numbers
    """The first such step of each row; NaN if there is none."""


class GridBuilder:
    """Takes in the rows of one report after the other.

    Args:
        names: Of all parameters of the run, in the order of the model, at least one.
        steps: How many reports will be added, at least one.
    """

    def __init__(self, names: Sequence[str], steps: int) -> None:
        self._parameters, self._steps, self._seen = len(names), steps, 0
        each = -(-len(names) // MOST_ROWS)
        self._names = [_joined(names[i : i + each]) for i in range(0, len(names), each)]
        self._row = {name: i // each for i, name in enumerate(names)}
        rows = len(self._names)
        columns = min(steps, MOST_COLUMNS, MOST_CELLS // rows)
        self._columns = columns
        self._first, self._last = np.zeros((2, columns), np.int64)
        # column by column, since steps come one after the other
        self._log_norm = np.full((columns, rows), np.nan, np.float32)
        self._nonfinite = np.zeros((columns, rows), np.int64)
        self._first_nonfinite = np.full(rows, np.nan)
        self._known: tuple[Sequence[str], Whole] = ((), np.zeros(0, np.int64))

    def add(self, step: int, names: Sequence[str], read: Read) -> None:
        """Take in the rows of the next step."""
        column = self._seen * self._columns // self._steps
        if self._seen == 0 or (self._seen - 1) * self._columns // self._steps < column:
            self._first[column] = step
        self._last[column] = step
        self._seen += 1
        rows = self._rows(names)
        norm = read("norm")
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(np.where(np.isfinite(norm), norm, np.nan)).astype(np.float32)
        np.fmax.at(self._log_norm[column], rows, logs)
        bad = (read("nan") + read("posinf") + read("neginf") > 0) | np.isinf(norm)
        np.add.at(self._nonfinite[column], rows, bad.astype(np.int64))
        np.fmin.at(self._first_nonfinite, rows[bad], float(step))

    def grid(self) -> Grid:
        """All of it."""
        return Grid(
            self._names,
            self._parameters,
            self._steps,
            self._first,
            self._last,
            self._log_norm.T,
            self._nonfinite.T,
            self._first_nonfinite,
        )

    def _rows(self, names: Sequence[str]) -> Whole:
        """The row of each parameter; names are looked up once, as long as they stay the same."""
        if self._known[0] is not names:
            self._known = names, np.array([self._row[name] for name in names], np.int64)
        return self._known[1]


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"

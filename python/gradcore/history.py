"""Reports of past steps, bounded in number and in memory."""

from __future__ import annotations

import math
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np

from gradcore.history_state import state_from, state_of
from gradcore.report import Report
from gradcore.ring import Ring
from gradcore.scalars import COLUMN, COLUMNS, FIELDS, Rows, finite, report_of, row_of
from gradcore.tally import Tally
from gradcore.validation import require_count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHOLE: Final = 100
"""So many of the last reports are kept whole, with their tables and findings."""


class History(Sequence[Report]):
    """The last reports, oldest first.

    The scalars of a step take 8 bytes each, 200 in all; tables and findings are kept for
    the last 100 reports only, so that 10,000 parameters do not cost gigabytes.

    Args:
        capacity: How many reports are kept, >= 1.
    """

    def __init__(self, capacity: int) -> None:
        self.seen: Tally = Tally()
        """Counts over every report that was ever taken in, those that were dropped included."""
        self._ring = Ring(capacity, len(COLUMNS))
        self._whole: deque[Report] = deque(maxlen=min(WHOLE, capacity))
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}

    @property
    def capacity(self) -> int:
        """How many reports are kept."""
        return self._ring.capacity

    def append(self, report: Report) -> None:
        """Take in one more; beyond the capacity the oldest is dropped."""
        self._ring.append(row_of(report, self._number))
        self._whole.append(report)
        self.seen.add(report)

    def forget_from(self, step: int) -> None:
        """Drop what was held of this step and later ones, as if it had not been seen."""
        while len(self) and self[-1].step >= step:
            self.seen -= Tally.of([self[-1]])
            self._ring.pop()
            if self._whole:
                self._whole.pop()

    def __len__(self) -> int:
        return len(self._ring)

    @overload
    def __getitem__(self, index: int) -> Report: ...
    @overload
    def __getitem__(self, index: slice) -> list[Report]: ...
    def __getitem__(self, index: int | slice) -> Report | list[Report]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        recent = i - (len(self) - len(self._whole))
        return (
            self._whole[recent] if recent >= 0 else report_of(self._ring[i].tolist(), self._names)
        )

    def __iter__(self) -> Iterator[Report]:
        return (self[i] for i in range(len(self)))

    def to_arrays(self, last: int | None = None) -> dict[str, Rows]:
        """Every scalar of every step, or of the last ones, oldest first.

        Args:
            last: How many steps at most, >= 0; all that are held if not given.

        Returns:
            Float64 ``[steps]`` each; None, such as no loss, is NaN.
        """
        rows = self._ring.rows(last)
        return {name: rows[:, COLUMN[name]].copy() for name in FIELDS}

    def summary(self) -> dict[str, float]:
        """Norms over the steps held, if they were finite; rates over all steps ever seen.

        Returns:
            ``steps``, how many are held, and ``steps_seen``; over the steps held in which nothing
            was non-finite ``mean_norm``, ``max_norm``, ``std_norm`` (of the population),
            ``p50_norm``, ``p90_norm``, ``p99_norm``, NaN if there is none; ``nonfinite_rate``,
            ``clip_rate``, ``skip_rate``, shares of ``steps_seen``; ``repaired_elements`` and
            ``unhealthy_steps``, counts over the same.
        """
        rows, seen = self._ring.rows(), self.seen
        norms = rows[finite(rows), COLUMN["norm"]]
        norms = norms[np.isfinite(norms)]
        largest = float(norms.max(initial=0.0)) or 1.0  # squares of norms may be beyond float64
        p50, p90, p99 = np.percentile(norms, (50, 90, 99)) if norms.size else (math.nan,) * 3
        return {
            "steps": len(rows),
            "steps_seen": seen.steps,
            "mean_norm": float(norms.mean()) if norms.size else math.nan,
            "max_norm": float(norms.max()) if norms.size else math.nan,
            "std_norm": largest * float((norms / largest).std()) if norms.size else math.nan,
            "p50_norm": float(p50),
            "p90_norm": float(p90),
            "p99_norm": float(p99),
            "nonfinite_rate": seen.nonfinite / max(1, seen.steps),
            "clip_rate": seen.clipped / max(1, seen.steps),
            "skip_rate": seen.skipped / max(1, seen.steps),
            "repaired_elements": seen.repaired,
            "unhealthy_steps": seen.unhealthy,
        }

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw what is held: loss, norms, clipping, every parameter, what was not finite.

        Parameters are those of the last 100 steps; ``gradcore report`` draws all that a log holds.

        Args:
            path: Where to write the picture, the suffix saying in which format; None: nowhere.

        Returns:
            A figure of matplotlib, for further changes.

        Raises:
            ModuleNotFoundError: matplotlib is not installed; says how to install it.
            OSError: ``path`` cannot be written.
            ValueError: There is no step yet, or the suffix is none that matplotlib knows.
        """
        from gradcore.plots import plot_run  # noqa: PLC0415 - pictures are optional
        from gradcore.runs import run_of  # noqa: PLC0415

        return plot_run(run_of(self), path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that is held as a log of a run, in one piece or not at all.

        Tables and findings of the last 100 steps are written, scalars of all.  A file of that name
        is replaced.

        Raises:
            OSError: It cannot be written; a file of that name is as it was.
        """
        from gradcore.logfile import write_log  # noqa: PLC0415 - logs are optional

        write_log(path, self, before=self.seen - Tally.of(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, capacity: int | None = None) -> History:
        """Read a log that `save` or the sink ``jsonl`` wrote.

        A last line that is torn, since the run was killed, is passed over.  Where steps were taken
        again, because a run went on from a checkpoint, the later ones count.

        Args:
            path: The file.
            capacity: How many of the last steps to keep; None for all there are.

        Raises:
            LogError: It is no such log, a line is damaged, or a newer gradcore wrote it.
            OSError: It cannot be read.
        """
        from gradcore.logfile import Log  # noqa: PLC0415

        limit = None if capacity is None else require_count("capacity", capacity)
        history = cls(sys.maxsize)
        log = Log(path)
        for report in log:
            history.forget_from(report.step)
            history.append(report)
        history.seen += log.decoder.before
        history._bound(max(1, len(history)) if limit is None else limit)
        return history

    def state_dict(self) -> dict[str, Any]:
        """The scalars, as a tensor and plain values; tables and findings are not part of it."""
        return state_of(self._ring.rows(), self._names, self.seen)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the place of what was held; the newest are kept if there are more than fit.

        Raises:
            ValueError: It is no state of a history; what was held still is.
        """
        rows, self._names, self.seen = state_from(state)
        self._ring = self._ring.bounded(self.capacity, rows)
        self._whole.clear()
        self._numbers = {name: i for i, name in enumerate(self._names)}

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
        return self._numbers[name]

    def _bound(self, capacity: int) -> None:
        self._ring = self._ring.bounded(capacity)
        self._whole = deque(self._whole, maxlen=min(WHOLE, capacity))

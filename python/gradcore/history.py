"""Reports of past steps, bounded in number and in memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias, overload

import numpy as np
import torch

from gradcore.report import Counts, Report

FIELDS: Final = (
    "step", "norm", "clipped_norm", "scale", "clipped", "nan", "posinf", "neginf", "repaired",
    "skipped", "restored", "loss", "healthy", "stability",
)  # fmt: skip
"""Columns of the arrays, one float64 each; no loss is NaN with ``has_loss`` 0."""

COLUMN: Final = {name: i for i, name in enumerate((*FIELDS, "has_loss", "first", "last"))}

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

MEASURED: Final = ("norm", "clipped_norm", "scale", "loss", "stability")
"""Columns that may hold NaN or infinity."""

WHOLE: Final = 100
"""So many of the last reports are kept whole, with their tables and findings."""


class History(Sequence[Report]):
    """The last reports, oldest first.

    The scalars of a step take 136 bytes; tables and findings are kept for the last 100 reports
    only, so that 10,000 parameters do not cost gigabytes.

    Args:
        capacity: How many reports are kept, >= 1.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._ring = np.zeros((min(capacity, 64), len(COLUMN)))
        self._start = 0
        self._length = 0
        self._whole: deque[Report] = deque(maxlen=min(WHOLE, capacity))
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}

    def append(self, report: Report) -> None:
        """Take in one more; beyond the capacity the oldest is dropped."""
        if self._length == len(self._ring) < self.capacity:
            grown = np.zeros((min(self.capacity, 2 * len(self._ring)), len(COLUMN)))
            grown[: self._length] = self._rows()
            self._ring, self._start = grown, 0
        self._ring[(self._start + self._length) % len(self._ring)] = self._row_of(report)
        if self._length < self.capacity:
            self._length += 1
        else:
            self._start = (self._start + 1) % len(self._ring)
        self._whole.append(report)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Report: ...
    @overload
    def __getitem__(self, index: slice) -> list[Report]: ...
    def __getitem__(self, index: int | slice) -> Report | list[Report]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        recent = i - (self._length - len(self._whole))
        return self._whole[recent] if recent >= 0 else self._report_of(self._row(i))

    def __iter__(self) -> Iterator[Report]:
        return (self[i] for i in range(len(self)))

    def to_arrays(self, last: int | None = None) -> dict[str, Rows]:
        """Every scalar of every step, or of the last ones, oldest first.

        Args:
            last: How many steps at most, >= 0; all that are held if not given.

        Returns:
            Float64 ``[steps]`` each; ``loss`` is NaN where it was not given.
        """
        rows = self._rows(last)
        return {name: rows[:, COLUMN[name]].copy() for name in FIELDS}

    def summary(self) -> dict[str, float]:
        """Norms over the steps with nothing non-finite, rates over all steps that are held.

        Returns:
            ``steps``; ``mean_norm``, ``max_norm``, ``std_norm`` (of the population), ``p50_norm``,
            ``p90_norm``, ``p99_norm``, NaN if there was no such step; ``nonfinite_rate``,
            ``clip_rate``, ``skip_rate`` in [0, 1]; ``repaired_elements``, ``unhealthy_steps``.
        """
        arrays = self.to_arrays()
        steps = len(self)
        events = arrays["nan"] + arrays["posinf"] + arrays["neginf"] > 0
        lost = self._rows()[:, COLUMN["has_loss"]].astype(bool) & ~np.isfinite(arrays["loss"])
        norms = arrays["norm"][~events & ~lost]
        if norms.size:
            p50, p90, p99 = (float(p) for p in np.percentile(norms, (50, 90, 99)))
            spread = {"mean_norm": norms.mean(), "max_norm": norms.max(), "std_norm": norms.std()}
        else:
            p50 = p90 = p99 = math.nan
            spread = dict.fromkeys(("mean_norm", "max_norm", "std_norm"), math.nan)
        return {
            "steps": steps,
            **{name: float(value) for name, value in spread.items()},
            "p50_norm": p50,
            "p90_norm": p90,
            "p99_norm": p99,
            "nonfinite_rate": float(np.mean(events | lost)) if steps else 0.0,
            "clip_rate": float(arrays["clipped"].mean()) if steps else 0.0,
            "skip_rate": float(arrays["skipped"].mean()) if steps else 0.0,
            "repaired_elements": int(arrays["repaired"].sum()),
            "unhealthy_steps": int((arrays["healthy"] == 0).sum()),
        }

    def state_dict(self) -> dict[str, Any]:
        """The scalars, as a tensor and plain values; tables and findings are not part of it."""
        return {"rows": torch.from_numpy(self._rows().copy()), "names": list(self._names)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the place of what was held; the newest are kept if there are more than fit."""
        rows, names = _checked(state)
        rows = rows[-self.capacity :]
        self._ring = np.zeros((max(min(self.capacity, 64), len(rows)), len(COLUMN)))
        self._ring[: len(rows)] = rows
        self._start, self._length = 0, len(rows)
        self._whole.clear()
        self._names = names
        self._numbers = {name: i for i, name in enumerate(self._names)}

    def _rows(self, last: int | None = None) -> Rows:
        first = 0 if last is None else max(0, self._length - last)
        order = (self._start + np.arange(first, self._length)) % len(self._ring)
        return self._ring[order]

    def _row(self, i: int) -> Rows:
        row: Rows = self._ring[(self._start + i) % len(self._ring)]
        return row

    def _number(self, name: str | None) -> int:
        if name is None:
            return -1
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
        return self._numbers[name]

    def _row_of(self, report: Report) -> list[float]:
        counts = report.nonfinite
        return [
            report.step, report.norm, report.clipped_norm, report.scale, report.clipped,
            counts.nan, counts.posinf, counts.neginf, report.repaired, report.skipped,
            report.restored, math.nan if report.loss is None else report.loss, report.healthy,
            report.stability, report.loss is not None, self._number(report.first_nonfinite),
            self._number(report.last_clean),
        ]  # fmt: skip

    def _report_of(self, row: Rows) -> Report:
        def value(name: str) -> float:
            return float(row[COLUMN[name]])

        def name_of(column: str) -> str | None:
            number = int(value(column))
            return None if number < 0 else self._names[number]

        return Report(
            step=int(value("step")),
            norm=value("norm"),
            clipped_norm=value("clipped_norm"),
            scale=value("scale"),
            clipped=bool(value("clipped")),
            nonfinite=Counts(int(value("nan")), int(value("posinf")), int(value("neginf"))),
            repaired=int(value("repaired")),
            skipped=bool(value("skipped")),
            restored=bool(value("restored")),
            loss=value("loss") if value("has_loss") else None,
            first_nonfinite=name_of("first"),
            last_clean=name_of("last"),
            healthy=bool(value("healthy")),
            stability=value("stability"),
        )


def _checked(state: Any) -> tuple[Rows, list[str]]:
    """Rows and names of a saved history, if that is what it is."""
    if isinstance(state, dict):
        rows, names = state.get("rows"), state.get("names")
        if (
            isinstance(rows, torch.Tensor)
            and rows.is_floating_point()
            and rows.shape[1:] == (len(COLUMN),)
            and isinstance(names, list)
            and all(isinstance(name, str) for name in names)
        ):
            table: Rows = rows.detach().cpu().double().numpy()
            whole = np.delete(table, [COLUMN[name] for name in MEASURED], axis=1)
            numbers = table[:, [COLUMN["first"], COLUMN["last"]]]
            if np.isfinite(whole).all() and ((numbers >= -1) & (numbers < len(names))).all():
                return table, list(names)
    raise ValueError(
        f"A history is `rows`, a tensor [steps, {len(COLUMN)}] of counts and norms, and `names`, a "
        "list of the parameters they refer to; this is none."
    )

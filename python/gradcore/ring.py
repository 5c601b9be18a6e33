"""Rows of numbers in a ring that grows up to a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradcore.scalars import Rows

FIRST = 64
"""Rows there is room for at the start."""


class Ring:
    """The last rows, oldest first.

    Args:
        capacity: How many rows are kept, >= 1.
        width: Numbers a row.
    """

    def __init__(self, capacity: int, width: int) -> None:
        self.capacity = capacity
        self._rows = np.zeros((min(capacity, FIRST), width))
        self._start = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Rows:
        row: Rows = self._rows[(self._start + index) % len(self._rows)]
        return row

    def append(self, row: Sequence[float]) -> None:
        """Take in one more; beyond the capacity the oldest is dropped."""
        room = len(self._rows)
        if self._length == room < self.capacity:
            grown = np.zeros((min(self.capacity, 2 * room), self._rows.shape[1]))
            grown[:room] = self.rows()
            self._rows, self._start = grown, 0
        self._rows[(self._start + self._length) % len(self._rows)] = row
        if self._length < self.capacity:
            self._length += 1
        else:
            self._start = (self._start + 1) % len(self._rows)

    def pop(self) -> None:
        """Drop the newest."""
        self._length -= 1

    def rows(self, last: int | None = None) -> Rows:
        """A copy of all of them, or of so many of the last: float64 ``[rows, width]``."""
        first = 0 if last is None else max(0, self._length - last)
        order = (self._start + np.arange(first, self._length)) % len(self._rows)
        copied: Rows = self._rows[order]
        return copied

    def bounded(self, capacity: int, rows: Rows | None = None) -> Ring:
        """Another ring with the newest of these rows, or of those given."""
        kept = (self.rows() if rows is None else rows)[-capacity:]
        ring = Ring(capacity, self._rows.shape[1])
        if len(kept) > len(ring._rows):
            ring._rows = np.array(kept, dtype=np.float64)
        else:
            ring._rows[: len(kept)] = kept
        ring._length = len(kept)
        return ring

"""Rows of numbers in a ring that grows up to a bound."""

from __future__ import annotations

from struct import calcsize, pack_into
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
        self._format = f"{width}d"
        self._size = calcsize(self._format)
        self._room = min(capacity, FIRST)
        self._bytes = bytearray(self._room * self._size)
        self._start = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def _rows(self) -> Rows:
        return np.frombuffer(self._bytes).reshape(self._room, -1)

    def __getitem__(self, index: int) -> Rows:
        row: Rows = self._rows[(self._start + index) % self._room]
        return row

    def append(self, row: Sequence[float]) -> None:
        """Take in one more; beyond the capacity the oldest is dropped."""
        if self._length == self._room < self.capacity:
            self._hold(self.rows(), min(self.capacity, 2 * self._room))
        # A quarter of what NumPy takes for a row, since it looks at each number twice.
        place = (self._start + self._length) % self._room
        pack_into(self._format, self._bytes, place * self._size, *row)
        if self._length < self.capacity:
            self._length += 1
        else:
            self._start = (self._start + 1) % self._room

    def pop(self) -> None:
        """Drop the newest."""
        self._length -= 1

    def rows(self, last: int | None = None) -> Rows:
        """A copy of all of them, or of so many of the last: float64 ``[rows, width]``."""
        first = 0 if last is None else max(0, self._length - last)
        order = (self._start + np.arange(first, self._length)) % self._room
        copied: Rows = self._rows[order]
        return copied

    def bounded(self, capacity: int, rows: Rows | None = None) -> Ring:
        """Another ring with the newest of these rows, or of those given."""
        kept = (self.rows() if rows is None else rows)[-capacity:]
        ring = Ring(capacity, self._size // 8)
        ring._hold(kept, max(len(kept), ring._room))
        return ring

    def _hold(self, rows: Rows, room: int) -> None:
        """Have room for so many, and hold these."""
        self._room, self._start, self._length = room, 0, len(rows)
        self._bytes = bytearray(room * self._size)
        self._rows[: len(rows)] = rows

"""Reports to a file of JSON lines, whole."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, ClassVar

from gradcore.logfile import START, AppendedFile, Encoder

if TYPE_CHECKING:
    from gradcore.report import Report

MOST_DIGITS = 17
"""Every float64 is told apart by so many significant digits."""


class JsonLines:
    """Appends each report as a line of JSON: everything in it, parameters and findings included.

    `History.load` reads it; the format is told in ``docs/log-format.md``.  A file that is there
    already is appended to, so that a run that goes on from a checkpoint goes on in its log.  Each
    line is handed to the operating system at once: a killed process loses none that was written.

    One guard writes to a file: where several processes train, give each its own path.

    Args:
        path: The file; folders that are missing are made.
        digits: Numbers of single parameters are rounded to so many significant digits, 1 to 17;
            None for none.  6 make the log half as large.

    Raises:
        LogError: The file is there and is no such log.
        OSError: It cannot be written.
        ValueError: ``digits`` is out of range.
    """

    name: ClassVar[str] = "jsonl"

    def __init__(self, path: str | os.PathLike[str], *, digits: int | None = None) -> None:
        if digits is not None and digits not in range(1, MOST_DIGITS + 1):
            raise ValueError(f"digits must be from 1 to {MOST_DIGITS}, or None; got {digits!r}.")
        self._encoder = Encoder(digits)
        self._file = AppendedFile(path, START, _is_json)
        self._begun = False

    def __call__(self, report: Report) -> None:
        emptied = self._file.renew()
        start = self._encoder.run() if emptied or not self._begun else ""
        self._begun = True
        self._file.write(start + self._encoder.step(report, time.time()))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _is_json(line: bytes) -> bool:
    """Whether a line is whole: a part of an object is no object."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True

"""The scalars of reports to a table that every spreadsheet reads."""

from __future__ import annotations

import csv
import io
import os
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gradcore.logfile import AppendedFile
from gradcore.logfile.values import number_to_json
from gradcore.report import Counts
from gradcore.scalars import GROUPS

if TYPE_CHECKING:
    from gradcore.report import Report

HEADING: Final = (
    *(column for group in GROUPS.values() for column in group if not column.startswith("has_")),
    "findings",
)


class Csv:
    """Appends the scalars of each report as a line of comma-separated values.

    Flags are 0 and 1; what is None is empty; non-finite numbers are ``NaN``, ``Infinity`` and
    ``-Infinity``; findings are names of checks, with a space between.  Rows of parameters are in
    the sink ``jsonl`` alone.  A file that is there already is appended to, without another heading.
    Each line is handed to the operating system at once: a killed process loses none.

    Args:
        path: The file; folders that are missing are made.

    Raises:
        LogError: The file is there and has another heading.
        OSError: It cannot be written.
    """

    name: ClassVar[str] = "csv"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = AppendedFile(path, _line(HEADING).encode())

    def __call__(self, report: Report) -> None:
        emptied = self._file.renew()
        cells = [cell for name in GROUPS for cell in _cells(getattr(report, name))]
        line = _line((*cells, " ".join(finding.check for finding in report.findings)))
        self._file.write(_line(HEADING) + line if emptied else line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _cells(value: Any) -> tuple[object, ...]:
    if isinstance(value, Counts):
        return value.nan, value.posinf, value.neginf
    if isinstance(value, bool):
        return (int(value),)
    if isinstance(value, float):
        return (number_to_json(value),)
    return ("" if value is None else value,)


def _line(cells: tuple[object, ...]) -> str:
    text = io.StringIO()
    # A step is one line: what breaks lines in a name becomes a space.
    flat = [" ".join(cell.splitlines()) if isinstance(cell, str) else cell for cell in cells]
    csv.writer(text, lineterminator="\n").writerow(flat)
    return text.getvalue()

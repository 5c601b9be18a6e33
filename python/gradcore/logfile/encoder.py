"""Reports as lines of a log.  See ``docs/log-format.md``."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from gradcore.logfile.format import FORMAT, VERSION
from gradcore.logfile.table import Column, column_to_json, columns_of
from gradcore.logfile.values import TO_JSON
from gradcore.report import Report
from gradcore.version import own_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradcore.parameter_table import ParameterReport
    from gradcore.tally import Tally

FIELDS: Final = {
    field.name: str(field.type) for field in fields(Report) if field.name != "parameters"
}


class Encoder:
    """Turns reports into lines, and remembers which names of parameters it has written.

    Args:
        digits: Numbers of single parameters are rounded to so many significant digits; None for
            none, so that they are read back as they were.
    """

    def __init__(self, digits: int | None = None) -> None:
        self._digits = digits
        self._names: Column = None
        self._numel: Column = None

    def run(self, before: Tally | None = None) -> str:
        """The line at the start of a run; ``before``: steps that were seen and are not written."""
        self._names = None
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        head = {"type": "run", "format": FORMAT, "version": VERSION, "gradcore": own_version()}
        seen = {} if before is None else {"before": before.to_dict()}
        return _line({**head, "started": started, **seen})

    def step(self, report: Report, time: float | None = None) -> str:
        """The line of a step, after one of the parameters if their names are not the last ones."""
        plain: dict[str, Any] = {"type": "step"}
        for name, kind in FIELDS.items():
            plain[name] = TO_JSON[kind](getattr(report, name))
        if not plain["findings"]:
            del plain["findings"]
        if time is not None:
            plain["time"] = round(time, 3)
        head = ""
        if report.parameters:
            head, plain["parameters"] = self._table(report.parameters)
        return head + _line(plain)

    def _table(self, rows: Sequence[ParameterReport]) -> tuple[str, dict[str, Column]]:
        columns = columns_of(rows)
        names = columns.pop("name")
        written = {n: column_to_json(n, values, self._digits) for n, values in columns.items()}
        head = ""
        if names != self._names:
            self._names, self._numel = names, written["numel"]
            head = _line({"type": "parameters", "names": names, "numel": self._numel})
        if written["numel"] == self._numel:
            del written["numel"]
        return head, written


def _line(plain: dict[str, Any]) -> str:
    return json.dumps(plain, separators=(",", ":"), allow_nan=False) + "\n"

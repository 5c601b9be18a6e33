"""Lines of a log as reports.  See ``docs/log-format.md``."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, NoReturn

from gradcore.errors import DamagedLogError, LogError
from gradcore.logfile.format import FORMAT, VERSION
from gradcore.logfile.table import KINDS, Column, LoggedTable, column_from_json
from gradcore.logfile.values import FROM_JSON, object_from_json
from gradcore.report import Report
from gradcore.tally import Tally
from gradcore.version import own_version


class Decoder:
    """Turns lines into reports, one after the other.

    Args:
        path: Of the file they are from, for the words of errors.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.run: dict[str, Any] = {}
        """The line at the start of the present run."""
        self.runs: int = 0
        self.before: Tally = Tally()
        """Steps that were seen and are not in the log, since a bounded history had dropped them."""
        self.time: float | None = None
        """When the last step was written, in seconds since 1970, if it is told."""
        self.lines: int = 0
        self._names: list[str] = []
        self._numel: Column = None

    def __call__(self, line: bytes) -> Report | None:
        """The report of a line, None if it is of another type; unknown types are passed by.

        Raises:
            LogError: It is damaged, is no log at all, or one of a newer version.
        """
        self.lines += 1
        try:
            plain = json.loads(line.decode(), parse_constant=_refuse)
            if not isinstance(plain, dict):
                raise ValueError("it is no object")  # noqa: TRY004, TRY301 - of the file
            return self._take(plain)
        except LogError:
            raise
        except (ValueError, KeyError, RecursionError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            if not self.runs:
                raise self._foreign() from None
            raise self.damaged(why) from None

    def damaged(self, why: str) -> DamagedLogError:
        """The error to raise about the present line."""
        return DamagedLogError(
            f"{self.path}, line {self.lines} is damaged: {why}. Remove that line to read the rest."
        )

    def _foreign(self) -> LogError:
        return LogError(
            f"{self.path} is not a log of gradcore: it does not start with the line of a run. The "
            "sink 'jsonl' and History.save() write such files."
        )

    def _take(self, plain: dict[str, Any]) -> Report | None:
        kind = plain["type"]
        if kind == "run":
            self._begin(plain)
        elif not self.runs:
            raise self._foreign()
        elif kind == "parameters":
            self._names = list(FROM_JSON["tuple[str, ...]"](plain["names"]))
            self._numel = column_from_json("numel", plain["numel"], len(self._names))
        elif kind == "step":
            return self._report(plain)
        return None

    def _begin(self, plain: dict[str, Any]) -> None:
        version = plain.get("version")
        if plain.get("format") != FORMAT or type(version) is not int or version < 1:
            raise ValueError("the start of a run has no format and version")
        if version > VERSION:
            raise LogError(
                f"{self.path}, line {self.lines}: the run was written by gradcore "
                f"{plain.get('gradcore')} in version {version} of the log format; gradcore "
                f"{own_version()} reads versions up to {VERSION}. Update it: "
                "pip install --upgrade gradcore"
            )
        self.before += Tally.from_dict(plain["before"]) if "before" in plain else Tally()
        self.run = plain
        self.runs += 1
        self._names = []

    def _report(self, plain: dict[str, Any]) -> Report:
        columns = plain.pop("parameters", None)
        report = object_from_json(Report, plain)
        time = plain.get("time")
        self.time = None if time is None else float(FROM_JSON["float"](time))
        if columns is None:
            return report
        return replace(report, parameters=self._table(columns))

    def _table(self, columns: Any) -> LoggedTable:
        if not isinstance(columns, dict):
            raise ValueError("parameters: expected an object")  # noqa: TRY004 - of the file
        if not self._names:
            raise ValueError("no line of the run has told the names of the parameters")
        read: dict[str, Column] = {"numel": self._numel}
        for name in KINDS:
            if name in columns or name not in {"name", "numel"}:
                read[name] = column_from_json(name, columns.get(name), len(self._names))
        return LoggedTable(self._names, read)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")

"""Reads the whole log of a run, in two goes, so that little of it is ever in memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcore.errors import LogError
from gradcore.history import History
from gradcore.logfile import Log
from gradcore.runs.run import Census, build

if TYPE_CHECKING:
    from gradcore.report import Report
    from gradcore.runs import Run


def read_run(path: str | os.PathLike[str]) -> Run:
    """What a log tells of a run; a torn last line, which a killed run leaves, is passed over.

    Steps that were taken again, since training went back to a checkpoint, count once.

    Raises:
        LogError: It is no such log, a line is damaged, or it holds no step.
        OSError: It cannot be read.
    """
    history, census = History(sys.maxsize), Census()
    tables: dict[int, bool] = {}
    log = Log(path)
    for place, report in enumerate(log):
        history.forget_from(report.step)
        history.append(report)
        while len(tables) >= len(history):
            tables.popitem()
        tables[place] = census.add(report)
    if not tables:
        raise LogError(
            f"{log.path} holds no step yet: there is nothing to show. Wait for the first."
        )
    history.seen += log.decoder.before
    return build(history, _again(log, tables), list(census.names), sum(tables.values()))


def _again(log: Log, places: dict[int, bool]) -> Iterator[Report]:
    """The reports at these places; what was added to the log meanwhile is not looked at."""
    remaining = len(places)
    for place, report in enumerate(log):
        if place in places:
            yield report
            remaining -= 1
            if not remaining:
                return
    raise LogError(f"{log.path} got shorter while it was read. Try again.")

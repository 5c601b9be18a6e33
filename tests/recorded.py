"""Runs as they are kept and shown, made of reports."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import gradcore
import reports
from gradcore.history import History
from gradcore.runs import Run, run_of
from gradcore.sinks import JsonLines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAMES = ("in.weight", "mid.weight", "out.weight")


def run(*steps: gradcore.Report) -> Run:
    """What a history of these reports shows."""
    history = History(max(1, len(steps)))
    for step in steps:
        history.append(step)
    return run_of(history)


def step(number: int, norms: Iterable[float] = (1.0, 2.0, 2.0), **fields: Any) -> gradcore.Report:
    """A step of three parameters; ``bad`` of them are those whose gradient holds a NaN."""
    norms = list(norms)
    bad = fields.pop("bad", ())
    columns = fields.pop("columns", {})
    names = fields.pop("names", NAMES[: len(norms)])
    nan = [int(i in bad) for i in range(len(norms))]
    first = {"first_nonfinite": names[max(bad)], "skipped": True, "healthy": False} if bad else {}
    return reports.report(
        step=number,
        norm=math.hypot(*norms),
        parameters=reports.table(names, norms, nan=nan, **columns),
        nonfinite=gradcore.Counts(nan=sum(nan)),
        **{**first, **fields},
    )


def finding(check: str = "spike", severity: Any = "warning", **fields: Any) -> gradcore.Finding:
    """What a check has to say."""
    words = {"message": "The norm is 9.", "recommendation": "Clip."}
    return gradcore.Finding(check=check, severity=severity, **{**words, **fields})


def log(path: Path, steps: Iterable[gradcore.Report]) -> Path:
    """A log of these steps, by the sink."""
    sink = JsonLines(path)
    for each in steps:
        sink(each)
    sink.close()
    return path

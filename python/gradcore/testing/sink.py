"""The rules for a sink."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Final

from gradcore.testing.reports import alive, reports_of, traced
from gradcore.testing.subject import Subject, release

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradcore.report import Report

TAKES: Final = "It takes every report, one after the other, without raising."
READ: Final = "Reports are read, never written."
FEW: Final = "It keeps a bounded number of reports until it writes them."
CLOSES: Final = "close(), if there is one, takes no arguments and does not raise."
NOTHING: Final = "After close() nothing is kept: no report, and no open file."

ROUNDS: Final = 2
MOST: Final = 100
"""Reports that may wait to be written; the rounds are of more than that."""


def check_sink(offered: Callable[..., Any], /, **options: Any) -> None:
    """Give a sink the reports of three guards, several times over, and raise if it breaks a rule.

    Its name, description and options; that it takes any report, changes none and keeps at most 100
    waiting; and that it can be closed, after which it holds neither a report nor an open file.

    Args:
        offered: The class, or a function that makes one.
        **options: What each is made with; files that it writes belong into a temporary folder.

    Raises:
        ConformanceError: It breaks a rule.
        TypeError: ``offered`` is an instance.
    """
    subject = Subject("sink", offered, options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        subject.check_words()
        _use(subject)
        gc.collect()
    left = [str(each.message) for each in caught if issubclass(each.category, ResourceWarning)]
    if left:
        raise subject.broken(NOTHING, "close()", left[0])


def _use(subject: Subject) -> None:
    """Give one as many reports as it can take, and close it."""
    sink = subject.make()
    references: list[weakref.ref[Any]] = []
    try:
        for words, report in reports_of(subject, sink) * ROUNDS:
            copy = traced(report)
            references.append(weakref.ref(copy))
            _give(subject, sink, words, copy)
            del copy
        kept = alive(references)
        if kept > MOST:
            raise subject.broken(FEW, f"{len(references)} reports", f"it keeps {kept}")
        try:
            getattr(sink, "close", lambda: None)()
        except Exception as error:
            raise subject.broken(CLOSES, "close()", error) from error
        kept = alive(references)
        if kept:
            raise subject.broken(NOTHING, f"{len(references)} reports", f"it keeps {kept}")
    finally:
        release(sink)


def _give(subject: Subject, sink: Any, words: str, report: Report) -> None:
    """Give it one report, which is the same afterwards."""
    before = repr(report.to_dict())
    try:
        sink(report)
    except Exception as error:
        raise subject.broken(TAKES, words, error) from error
    if repr(report.to_dict()) != before:
        raise subject.broken(READ, words, "it was changed")

"""The rules for a health check."""

from __future__ import annotations

import weakref
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, get_args

from torch import Tensor

from gradcore.history import History
from gradcore.report import Finding, Report, Severity
from gradcore.testing.reports import alive, holds, reports_of, traced
from gradcore.testing.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER: Final = "It returns or yields findings, whatever the report and the history before it."
FINDING: Final = (
    "A finding has the name of its check, a severity, a message, a recommendation, names of "
    "parameters and plain numbers."
)
READ: Final = "Reports and history are read, never written."
KEPT: Final = "It keeps no report, no history and no tensor: what it compares with is in history."
ALIKE: Final = "Two that saw the same reports find the same."


def check_health(offered: Callable[..., Any], /, **options: Any) -> None:
    """Show a health check the reports of three guards, and raise if it breaks a rule.

    Its name, description and options; that it gets along with any report, also those of skipped
    steps, with NaN, without a loss, without history, and with a history that was loaded and so has
    no tables; that it returns findings that can be read; that it changes nothing, keeps nothing,
    and finds the same as another one.

    Args:
        offered: The class, or a function that makes one.
        **options: What each is made with.

    Raises:
        ConformanceError: It breaks a rule.
        TypeError: ``offered`` is an instance.
    """
    subject = Subject("check", offered, options)
    subject.check_words()
    check, other = subject.make(), subject.make()
    reports = reports_of(subject, check)
    references: list[weakref.ref[Any]] = []
    history = History(1000)
    for words, report in reports:
        copy = traced(report)
        references += [weakref.ref(copy), weakref.ref(history)]
        before = _facts(copy, history)
        found, again = (_ask(subject, each, words, copy, history) for each in (check, other))
        if repr(found) != repr(again):
            raise subject.broken(ALIKE, words, "they found different things")
        if _facts(copy, history) != before:
            raise subject.broken(READ, words, "they were changed")
        history.append(copy)
    loaded = History(1000)
    loaded.load_state_dict(history.state_dict())
    words, report = reports[0]
    _ask(subject, check, f"{words}, after a history that was loaded", report, loaded)
    del copy, history, loaded, reports, report
    if holds(check, (Tensor,)) is not None:
        raise subject.broken(KEPT, "many reports", "it holds a tensor")
    if alive(references) or holds(check, (Report, History)) is not None:
        raise subject.broken(KEPT, "many reports", "one of them, or their history, is still held")


def _ask(
    subject: Subject, check: Any, words: str, report: Report, history: History
) -> list[Finding]:
    """What it finds, if that can be read."""
    try:
        findings = list(check(report, history))
    except Exception as error:
        raise subject.broken(ANSWER, words, error) from error
    names = {row.name for row in report.parameters}
    for finding in findings:
        if not isinstance(finding, Finding):
            raise subject.broken(ANSWER, words, f"one is {finding!r}")
        readable = (
            finding.check == check.name
            and finding.severity in get_args(Severity)
            and bool(finding.message and finding.recommendation)
            and names.issuperset(finding.parameters)
            and all(isinstance(value, Real) for value in finding.values.values())
        )
        if not readable:
            raise subject.broken(FINDING, words, f"one is {finding!r}")
    return findings


def _facts(report: Report, history: History) -> object:
    """Everything that both say, in a form that can be compared where there is NaN."""
    rows = history.state_dict()["rows"]
    return repr(report.to_dict()), rows.numpy().tobytes()

"""Conditions that last: since when, and whether they were said already.

Nothing is remembered but what is in the history, so a check stays a pure function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from gradcore.parameter_table import names_of
from gradcore.validation import require_count

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.report import Finding, Report, Severity

Mask = npt.NDArray[np.bool_]

SEVERITIES: Final = ("info", "warning", "critical")

REACH: Final = 100
"""A history holds rows and findings of so many reports at most: no check can look back further."""


def require_reach(name: str, value: object) -> int:
    """Return ``value`` if it is a whole number from 1 to `REACH`, else raise `ValueError`."""
    count = require_count(name, value)
    if count > REACH:
        raise ValueError(
            f"{name} must be at most {REACH}, the reports that a history holds whole; got {count}."
        )
    return count


def in_a_row(report: Report, history: History, steps: int, holds: Callable[[Report], Mask]) -> Mask:
    """What holds of a report and of the ``steps - 1`` before it.

    Args:
        report: A report with rows.
        history: Those before it; where there are too few, or they are of other parameters, nothing
            holds long enough.
        steps: How many reports in a row, >= 1.
        holds: What holds of one report, an array of bool, of the same shape for all.
    """
    lasting = holds(report)
    names = names_of(report.parameters)
    for back in range(1, steps):
        if not lasting.any():
            break
        if back > len(history) or not is_of(history[-back], names):
            return np.zeros_like(lasting)
        lasting = lasting & holds(history[-back])
    return lasting


def is_of(report: Report, names: tuple[str, ...]) -> bool:
    """Whether the rows of a report are of these parameters."""
    own = names_of(report.parameters)
    return own is names or own == names


def said(history: History, check: str, severity: Severity, again: int) -> Iterator[Finding]:
    """Findings of a check, at least that bad, in the last ``again - 1`` reports."""
    bad = SEVERITIES.index(severity)
    for back in range(1, min(again, len(history) + 1)):
        for finding in history[-back].findings:
            if finding.check == check and SEVERITIES.index(finding.severity) >= bad:
                yield finding


def unsaid(
    names: list[str], history: History, check: str, severity: Severity, again: int
) -> list[str]:
    """Those of the parameters that no such finding names."""
    known = {name for found in said(history, check, severity, again) for name in found.parameters}
    return [name for name in names if name not in known]

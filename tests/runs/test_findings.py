"""Findings of a run: one entry a check, the worst first."""

from __future__ import annotations

import recorded
import reports
from recorded import finding


def test_the_first_of_the_worst_severity_speaks_for_its_check():
    said = {
        2: finding(severity="info", message="a little", parameters=("a",)),
        4: finding(severity="critical", message="a lot", parameters=("a", "b")),
        6: finding(severity="critical", message="more", parameters=("b",)),
        9: finding(severity="warning", message="less", parameters=("b",)),
    }
    (found,) = recorded.run(*(reports.report(n, findings=(f,)) for n, f in said.items())).findings

    assert (found.finding.message, found.step) == ("a lot", 4)
    assert (found.first, found.last, found.times) == (2, 9, 4)
    assert found.parameters == {"b": 3, "a": 2}


def test_checks_are_in_the_order_of_severity_then_of_time():
    run = recorded.run(
        reports.report(0, findings=(finding("late", "info"), finding("b", "warning"))),
        reports.report(1, findings=(finding("c", "critical"), finding("a", "warning"))),
    )

    assert [found.finding.check for found in run.findings] == ["c", "b", "a", "late"]

"""Checks that break a rule are told which one; their correct twins pass."""

from __future__ import annotations

import itertools
from typing import ClassVar

import pytest
import torch

from gradcore import Finding
from gradcore.testing import ConformanceError, check_health


def finding(**changes):
    words = {"check": "made", "severity": "warning", "message": "Odd.", "recommendation": "Look."}
    return Finding(**{**words, **changes})


class Doubled:
    """Warn where the norm is more than twice that of the step before."""

    name = "made"

    def __call__(self, report, history):
        if history and report.norm > 2.0 * history[-1].norm:
            yield finding(parameters=(report.parameters[0].name,), values={"norm": report.norm})


def answering(answer):
    """A check that always answers alike."""
    return lambda self, report, history: answer


class KeepsReports(Doubled):
    """Keep every report."""

    def __init__(self):
        self.reports = []

    def __call__(self, report, history):
        self.reports.append(report)
        return ()


class KeepsRows(Doubled):
    """Keep the table of the last report."""

    def __call__(self, report, history):
        self.report = report if len(history) == 3 else None
        self.norms = [row.norm for row in report.parameters]
        return ()


class KeepsHistory(Doubled):
    """Keep the history."""

    def __call__(self, report, history):
        self.history = history
        return ()


ELSEWHERE = []


class KeepsElsewhere(Doubled):
    """Keep reports in the module."""

    def __call__(self, report, history):
        ELSEWHERE.append(report)
        return ()


class KeepsTensors(Doubled):
    """Keep the norm as a tensor."""

    def __call__(self, report, history):
        self.norm = {"norm": [torch.tensor(report.norm)]}
        return ()


class KeepsInItsClass(Doubled):
    """Keep norms as tensors in the class."""

    norms: ClassVar[list[torch.Tensor]] = []

    def __call__(self, report, history):
        self.norms.append(torch.tensor(report.norm))
        return ()


def keeping_in_a_closure():
    """Keep reports in a closure."""
    kept = []

    def check(report, history):
        kept.append(report)
        return ()

    check.name = "made"
    return check


def counting_in_a_closure():
    """Keep a number in a closure."""
    norms = [0.0]

    def check(report, history):
        norms[0] = report.norm
        return ()

    check.name = "made"
    return check


class Writes(Doubled):
    """Correct the report."""

    def __call__(self, report, history):
        object.__setattr__(report, "norm", 0.0)
        return ()


class Remembers(Doubled):
    """Write into the history."""

    def __call__(self, report, history):
        history.append(report)
        return ()


class NeedsHistory(Doubled):
    """Compare with the step before, as if there always were one."""

    def __call__(self, report, history):
        return [finding()] if report.norm > history[-1].norm else []


class NeedsTables(Doubled):
    """Compare tables, as if history always had them."""

    def __call__(self, report, history):
        if history and report.parameters[0].norm != history[-1].parameters[0].norm:
            yield finding()


class NeedsNumbers(Doubled):
    """Round the norm, as if it always could be."""

    def __call__(self, report, history):
        yield finding(values={"norm": round(report.norm)})


class Unmeasured(Doubled):
    """Read what is not measured."""

    def __call__(self, report, history):
        return [finding() for row in report.parameters if (row.norm or 0) + row.max_abs > 1e9]


class Measured(Unmeasured):
    """Read what is measured."""

    needs = ("max_abs",)

    def __call__(self, report, history):
        return [finding() for row in report.parameters if (row.max_abs or 0.0) > 1e9]


NUMBERS = itertools.count()


class Differs(Doubled):
    """Find something else each time."""

    def __call__(self, report, history):
        yield finding(message=f"Number {next(NUMBERS)}.")


WRONG = [
    (KeepsReports, "It keeps no report.*still held"),
    (KeepsHistory, "It keeps no report.*still held"),
    (KeepsElsewhere, "It keeps no report.*still held"),
    (KeepsTensors, "It keeps no report.*it holds a tensor"),
    (KeepsInItsClass, "It keeps no report.*it holds a tensor"),
    (keeping_in_a_closure, "It keeps no report.*still held"),
    (Writes, "are read, never written"),
    (Remembers, "are read, never written"),
    (NeedsHistory, "returns or yields findings.*Given a report of ordinary.*step 0.*IndexError"),
    (NeedsTables, "returns or yields findings.*after a history that was loaded.*IndexError"),
    (NeedsNumbers, "returns or yields findings.*beyond float64.*OverflowError"),
    (Unmeasured, "returns or yields findings.*TypeError"),
    (Differs, "Two that saw the same reports find the same"),
]


@pytest.mark.parametrize(("offered", "words"), WRONG, ids=lambda given: str(given)[:30])
def test_a_check_is_refused(offered, words):
    with pytest.raises(ConformanceError, match=rf"(?s)Health check \w+ breaks a rule: .*{words}"):
        check_health(offered)


@pytest.mark.parametrize("offered", [Doubled, KeepsRows, Measured, counting_in_a_closure])
def test_the_correct_twin_passes(offered):
    check_health(offered)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "returns or yields findings.*NoneType"),
        (True, "returns or yields findings.*bool"),
        (["The norm doubled."], "one is 'The norm doubled.'"),
        ([finding(check="other")], "has the name of its check"),
        ([finding(severity="fatal")], "a severity"),
        ([finding(recommendation="")], "a recommendation"),
        ([finding(parameters=("absent",))], "names of parameters"),
        ([finding(values={"norm": torch.tensor(1.0)})], "plain numbers"),
    ],
    ids=str,
)
def test_what_is_no_finding_or_cannot_be_read_is_refused(answer, words):
    made = type("Made", (Doubled,), {"__doc__": "Answer.", "__call__": answering(answer)})

    with pytest.raises(ConformanceError, match=f"(?s){words}"):
        check_health(made)


def test_a_finding_that_can_be_read_passes():
    parameters = ("0.weight",)
    answer = [finding(parameters=parameters, values={"norm": 1.0, "count": 3})]

    check_health(type("Made", (Doubled,), {"__doc__": "Answer.", "__call__": answering(answer)}))

"""Checks, sinks and logs see every step, the fatal one too, and none of them ends the training."""

from __future__ import annotations

import gc
import logging
import math
import weakref
from dataclasses import dataclass, field

import pytest
import torch

import gradcore
import training
from gradients import parameter


def run(guard, owner, *values):
    """Take a step for each of these gradients of one element."""
    for value in values:
        owner.grad = torch.tensor([value])
        guard.apply()


@pytest.fixture
def owner():
    return parameter(torch.tensor([1.0]))


class Failing:
    """A check or a sink that gives back nothing, or does not come back."""

    name = "failing"

    def __init__(self, error=None):
        self.error = error
        self.calls = 0

    def __call__(self, report, history=()):
        self.calls += 1
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [KeyError("norm"), None], ids=["raises", "returns None"])
def test_a_check_that_fails_is_logged_once_and_switched_off(owner, caplog, error):
    check, other = Failing(error), training.Seen()
    guard = gradcore.Guard([owner], checks=[check, other])

    run(guard, owner, 1.0, 2.0, 3.0)
    assert check.calls == 1
    assert len(other.reports) == len(guard.history) == guard.steps == 3
    records = [record for record in caplog.records if "failing" in record.getMessage()]
    assert [(record.levelno, record.name) for record in records] == [(logging.ERROR, "gradcore")]
    assert records[0].exc_info


def test_what_was_found_before_a_check_failed_is_kept(owner):
    class Halfway:
        name = "halfway"

        def __call__(self, report, history):
            yield gradcore.Finding("halfway", "warning", "Large.", "Clip it.")
            raise RuntimeError("no further")

    class Good:
        name = "good"

        def __call__(self, report, history):
            return [gradcore.Finding("good", "info", "Fine.", "Go on.")]

    guard = gradcore.Guard([owner], checks=[Halfway(), Good()])
    run(guard, owner, 1.0, 1.0)
    assert [finding.check for finding in guard.history[0].findings][-1] == "good"
    assert [finding.check for finding in guard.history[1].findings] == ["good"]


def test_the_fatal_step_is_in_history_and_sinks(owner):
    check, sink = training.Seen(), training.Seen()
    guard = gradcore.Guard([owner], nonfinite="raise", checks=[check], sinks=[sink])

    run(guard, owner, 1.0)
    with pytest.raises(gradcore.NonfiniteGradientError):
        run(guard, owner, math.nan)
    assert guard.steps == 2
    for reports in (guard.history, check.reports, sink.reports):
        assert [report.step for report in reports] == [0, 1]
        assert [report.nonfinite.nan for report in reports] == [0, 1]
    assert (sink.reports[1].skipped, sink.reports[1].healthy) == (True, False)


def test_the_last_of_too_many_faults_in_a_row_is_in_history_and_sinks(owner):
    sink = training.Seen()
    guard = gradcore.Guard([owner], nonfinite="zero", max_consecutive=2, sinks=[sink])

    with pytest.raises(gradcore.NonfiniteGradientError):
        run(guard, owner, math.nan, math.inf)
    assert [report.repaired for report in sink.reports] == [1, 0]
    assert (guard.steps, len(guard.history)) == (2, 2)


class Unclosable(training.Seen):
    name = "unclosable"

    def close(self):
        super().close()
        raise OSError("the disk is full")


def test_closing_goes_on_where_a_sink_cannot_be_closed(owner, caplog):
    sinks = [training.Seen(), Unclosable(), training.Seen()]

    gradcore.Guard([owner], sinks=sinks).close()
    assert [sink.closed for sink in sinks] == [1, 1, 1]
    assert "unclosable" in caplog.text


def test_a_sink_that_fails_is_closed_even_if_that_fails_too(owner):
    class Hopeless(Unclosable):
        def __call__(self, report, history=()):
            raise OSError("the disk is full")

    broken, other = Hopeless(), training.Seen()
    guard = gradcore.Guard([owner], sinks=[broken, other])
    run(guard, owner, 1.0, 2.0)
    assert (broken.closed, len(other.reports)) == (1, 2)


@dataclass
class Path:
    """Equal to any other of the same path, whatever else it holds."""

    path: str
    works: bool = field(compare=False)
    steps: list = field(compare=False, default_factory=list)
    name = "path"

    def __call__(self, report, history=()):
        if not self.works:
            raise OSError("the disk is full")
        self.steps.append(report.step)
        return ()


@pytest.mark.parametrize("kind", ["sinks", "checks"])
def test_of_two_that_are_equal_only_the_failing_one_is_switched_off(owner, kind):
    broken, good = Path("log", works=False), Path("log", works=True)
    assert broken == good

    guard = gradcore.Guard([owner], **{kind: [good, broken]})
    run(guard, owner, 1.0, 2.0)
    assert good.steps == [0, 1]
    assert [watcher is good for watcher in getattr(guard, kind)] == [True]


class Above:
    """A strategy that skips steps of a norm above 5."""

    name = "above"

    def __call__(self, statistics):
        return gradcore.Skip(statistics.norm > 5.0)


def test_the_first_of_several_steps_that_a_strategy_skips_is_a_warning(owner, caplog):
    guard = gradcore.Guard([owner], clip=Above())

    run(guard, owner, 1.0)
    assert caplog.records == []
    run(guard, owner, 6.0, 7.0, 8.0)
    records = [(record.name, record.levelno) for record in caplog.records]
    assert records == [("gradcore", logging.WARNING)]
    assert "skipped at norm 6" in caplog.records[0].getMessage()
    assert "step 1" in caplog.records[0].getMessage()


def test_the_next_run_of_skips_is_another_warning(owner, caplog):
    guard = gradcore.Guard([owner], clip=Above())

    run(guard, owner, 6.0, 7.0, 1.0, 8.0, 9.0)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "norm 6" in messages[0]
    assert "norm 8" in messages[1]


def test_a_history_of_one_keeps_one_report_whole(owner):
    """Whole: with the row of each parameter."""
    guard = gradcore.Guard([("weight", owner)], history=1)

    run(guard, owner, 1.0, 2.0, 3.0)
    assert len(guard.history) == 1
    assert [report.step for report in guard.history] == [2]
    assert guard.history[0] is guard.history[-1]
    assert [row.name for row in guard.history[0].parameters] == ["weight"]
    assert guard.history[0].parameters[0].norm == 3.0
    with pytest.raises(IndexError):
        guard.history[1]


def test_a_history_of_one_holds_on_to_nothing_older(owner):
    class Values(dict):
        """A dict that can be watched."""

    alive = []

    def each(report, history):
        values = Values(norm=report.norm)
        alive.append(weakref.ref(values))
        yield gradcore.Finding("each", "info", "A step.", "Go on.", values=values)

    each.name = "each"
    guard = gradcore.Guard([owner], checks=[each], history=1)
    run(guard, owner, 3.0, 4.0, 5.0)
    gc.collect()
    assert [values() for values in alive] == [None] * 2 + [{"norm": 5.0}]


def test_the_last_steps_of_a_history_come_as_arrays_too(owner):
    guard = gradcore.Guard([owner], history=5)

    run(guard, owner, *map(float, range(1, 8)))
    assert guard.history.to_arrays(last=3)["norm"].tolist() == [5.0, 6.0, 7.0]
    assert guard.history.to_arrays(last=9)["step"].tolist() == [2.0, 3.0, 4.0, 5.0, 6.0]
    assert guard.history.to_arrays(last=0)["norm"].tolist() == []

"""A `History` is bounded, counts all that it ever saw, and is saved and loaded whole."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradcore
import reports
from gradcore import Counts, History
from gradcore.history import WHOLE

ABC = ["a", "b", "c"]


def made(given_reports, capacity=1000):
    history = History(capacity)
    for report in given_reports:
        history.append(report)
    return history


def scalars(history):
    bare = [dataclasses.replace(report, parameters=(), findings=()) for report in history]
    return [reports.plain(report) for report in bare]


def eventful(steps):
    """Every third step is clipped, every fifth non-finite and skipped, every seventh repaired."""
    return [
        reports.report(
            step=i,
            norm=float(i),
            clipped=i % 3 == 0,
            nonfinite=Counts(nan=int(i % 5 == 0)),
            skipped=i % 5 == 0,
            healthy=i % 5 != 0,
            repaired=2 * (i % 7 == 0),
        )
        for i in range(steps)
    ]


def test_rates_are_over_all_steps_seen_and_norms_over_those_held():
    """Of 700 steps 100 are held, 600 to 699, of which 80 are finite."""
    summary = made(eventful(700), capacity=100).summary()

    assert (summary["steps"], summary["steps_seen"]) == (100, 700)
    assert summary["clip_rate"] == pytest.approx(234 / 700)
    assert summary["nonfinite_rate"] == summary["skip_rate"] == pytest.approx(140 / 700)
    assert (summary["repaired_elements"], summary["unhealthy_steps"]) == (200, 140)
    norms = np.array([i for i in range(600, 700) if i % 5])
    assert summary["mean_norm"] == pytest.approx(norms.mean(), rel=1e-12)
    assert summary["std_norm"] == pytest.approx(norms.std(), rel=1e-12)
    assert (summary["max_norm"], summary["p50_norm"]) == (699.0, np.median(norms))


def test_a_reader_that_is_late_finds_the_newest_steps_and_knows_how_many_it_missed():
    """Steps go on whether or not anybody reads: the oldest give way."""
    history, taken, missed = made([], capacity=5), 0, []
    for steps in (3, 4, 12, 0):
        for report in eventful(taken + steps)[taken:]:
            history.append(report)
        taken += steps
        assert [report.step for report in history] == list(range(max(0, taken - 5), taken))
        missed.append(history.summary()["steps_seen"] - len(history))

    assert missed == [0, 2, 14, 14]


def test_a_step_of_a_loss_that_is_not_finite_is_not_in_the_norms():
    history = made([reports.report(norm=1.0, loss=1.0), reports.report(norm=9.0, loss=math.nan)])

    assert history.summary()["mean_norm"] == 1.0
    assert history.summary()["nonfinite_rate"] == 0.5


def test_a_history_of_nothing_has_no_norms_and_no_rates():
    summary = History(10).summary()

    assert math.isnan(summary["mean_norm"])
    assert math.isnan(summary["p99_norm"])
    assert (summary["steps"], summary["steps_seen"]) == (0, 0)
    assert (summary["clip_rate"], summary["skip_rate"]) == (0.0, 0.0)


def test_counts_over_all_steps_go_through_a_state():
    first, second = made(eventful(700), capacity=100), History(30)
    second.load_state_dict(first.state_dict())

    assert len(second) == 30
    for name in ("steps_seen", "clip_rate", "skip_rate", "repaired_elements", "unhealthy_steps"):
        assert second.summary()[name] == first.summary()[name]
    second.append(reports.report(step=700))
    assert second.summary()["steps_seen"] == 701


def test_a_state_of_an_older_version_lacks_columns_and_loads():
    """A field that was added to `Report` has its default in steps from before."""
    state = made([reports.report(norm=2.0, stability=0.5)]).state_dict()
    gone = state["columns"].index("stability")
    kept = [i for i in range(len(state["columns"])) if i != gone]
    older = {
        **state,
        "columns": [state["columns"][i] for i in kept],
        "rows": state["rows"][:, kept],
    }

    history = History(10)
    history.load_state_dict(older)
    assert (history[0].norm, history[0].stability) == (2.0, 1.0)


@pytest.mark.parametrize("missing", ["step", "norm", "nan", "skipped"])
def test_a_state_without_a_column_that_there_always_was_is_none(missing):
    state = made([reports.report()]).state_dict()
    state["columns"][state["columns"].index(missing)] = "other"

    with pytest.raises(ValueError, match="A history is `rows`"):
        History(10).load_state_dict(state)


@pytest.mark.parametrize("seen", [None, {}, {"steps": 0}])
def test_a_state_without_its_counts_is_none(seen):
    state = made([reports.report()]).state_dict()

    with pytest.raises(ValueError, match="tally"):
        History(10).load_state_dict({**state, "seen": seen})


@given(st.lists(reports.reports, max_size=5))
def test_what_is_saved_is_loaded_with_every_bit(tmp_path_factory, given_reports):
    path = tmp_path_factory.mktemp("log") / "run.jsonl"
    numbered = [dataclasses.replace(report, step=i) for i, report in enumerate(given_reports)]

    made(numbered).save(path)
    loaded = History.load(path)
    assert [reports.plain(report) for report in loaded] == [reports.plain(r) for r in numbered]
    assert repr(loaded.summary()) == repr(made(numbered).summary())


def test_tables_of_the_last_steps_are_saved_and_scalars_of_all(tmp_path):
    table = reports.table(ABC, [1.0, 2.0, 3.0])
    steps = [dataclasses.replace(report, parameters=table) for report in eventful(WHOLE + 20)]
    history = made(steps)

    history.save(str(tmp_path / "run.jsonl"))
    loaded = History.load(str(tmp_path / "run.jsonl"))
    assert scalars(loaded) == scalars(history)
    assert [len(report.parameters) for report in loaded] == [0] * 20 + [3] * WHOLE


def test_what_a_bounded_history_dropped_still_counts_after_loading(tmp_path):
    history = made(eventful(700), capacity=100)

    history.save(tmp_path / "run.jsonl")
    loaded = History.load(tmp_path / "run.jsonl")
    assert loaded.summary() == history.summary()
    assert loaded.summary()["steps_seen"] == 700
    loaded.save(tmp_path / "again.jsonl")
    assert History.load(tmp_path / "again.jsonl").summary() == history.summary()


def test_loading_keeps_all_steps_or_as_many_as_asked_for(tmp_path):
    made(eventful(2500), capacity=3000).save(tmp_path / "run.jsonl")

    assert len(History.load(tmp_path / "run.jsonl")) == 2500
    last = History.load(tmp_path / "run.jsonl", capacity=10)
    assert [report.step for report in last] == list(range(2490, 2500))
    assert last.summary()["steps_seen"] == 2500
    last.append(reports.report(step=2500))
    assert [report.step for report in last][-2:] == [2499, 2500]
    assert len(last) == 10
    with pytest.raises(ValueError, match="capacity must be a whole number of at least 1; got 0"):
        History.load(tmp_path / "run.jsonl", capacity=0)


def test_steps_that_were_taken_again_take_the_place_of_the_first(tmp_path):
    """A run was killed after step 5 and went on from a checkpoint of step 3, with other norms."""
    path = tmp_path / "run.jsonl"
    for steps, norm in ((range(6), 1.0), (range(3, 8), 2.0)):
        sink = gradcore.Registry(plugins=False).create("sink", "jsonl", path=path)
        for step in steps:
            sink(reports.report(step=step, norm=norm, clipped=True))
        sink.close()

    history = History.load(path)
    assert [report.step for report in history] == list(range(8))
    assert [report.norm for report in history] == [1.0] * 3 + [2.0] * 5
    assert history.summary()["steps_seen"] == 8
    assert history.summary()["clip_rate"] == 1.0


def test_a_history_of_nothing_is_saved_and_loaded(tmp_path):
    History(5).save(tmp_path / "run.jsonl")

    assert len(History.load(tmp_path / "run.jsonl")) == 0
    (tmp_path / "empty.jsonl").touch()
    assert len(History.load(tmp_path / "empty.jsonl")) == 0


def test_a_file_that_is_not_there_is_the_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        History.load(tmp_path / "none.jsonl")


def test_norms_whose_squares_overflow_have_a_deviation():
    history = History(2)
    for step, norm in enumerate((1e300, 3e300)):
        history.append(reports.report(step=step, norm=norm))

    assert history.summary()["std_norm"] == pytest.approx(1e300)

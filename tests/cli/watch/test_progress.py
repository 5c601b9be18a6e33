"""`Progress` keeps what is worth showing of a run."""

from __future__ import annotations

import math

import reports
from gradcore import Counts, Finding
from gradcore.cli.watch.following import Follower
from gradcore.cli.watch.progress import Progress
from gradcore.logfile import Encoder

ABC = ["a", "b", "c"]


def progress(*given):
    made = Progress()
    for report in given:
        made.add(report)
    return made


def test_events_are_steps_that_were_not_finite_skipped_or_rolled_back():
    made = progress(
        reports.report(step=0),
        reports.report(step=1, nonfinite=Counts(nan=1)),
        reports.report(step=2, loss=math.inf),
        reports.report(step=3, skipped=True),
        reports.report(step=4, restored=True),
        reports.report(step=5, clipped=True),
    )

    assert [report.step for report in made.events] == [1, 2, 3, 4]
    assert made.last.step == 5


def test_a_step_that_is_taken_again_takes_the_place_of_the_first():
    made = progress(*(reports.report(step=i, skipped=i == 2) for i in range(4)), reports.report(1))

    assert [report.step for report in made.history] == [0, 1]
    assert list(made.events) == []
    assert made.history.summary()["skip_rate"] == 0.0


def test_the_worst_layers_are_those_with_events_then_with_findings_then_with_large_norms():
    finding = Finding("spike", "warning", "", "", parameters=("b",))
    remark = Finding("remark", "info", "", "", parameters=("c",))
    bad = reports.table(ABC, [1.0, 2.0, 3.0], nan=[5, 0, 0])
    made = progress(
        reports.report(0, nonfinite=Counts(nan=5), parameters=bad),
        reports.report(1, findings=(finding, remark)),
        reports.report(2, parameters=reports.table(ABC, [0.1, 0.2, 0.3])),
    )

    worst = [(t.row.name, t.row.norm, t.nonfinite, t.findings) for t in made.worst(5)]
    assert worst == [("a", 0.1, 1, 0), ("b", 0.2, 0, 1), ("c", 0.3, 0, 0)]
    assert len(made.worst(2)) == 2


def test_steps_that_are_taken_again_are_not_counted_of_layers_and_checks():
    """As when a run begins anew in the log of the one before, which had trouble."""
    found = Finding("spike", "warning", "Up.", "Clip.", parameters=("b",))
    bad = reports.table(ABC, [1.0, 2.0, 3.0], nan=[1, 0, 0])
    made = progress(
        reports.report(0, nonfinite=Counts(nan=1), parameters=bad),
        reports.report(1, findings=(found,)),
        reports.report(2, nonfinite=Counts(nan=1), parameters=bad, findings=(found,)),
        reports.report(1, parameters=reports.table(ABC, [1.0, 2.0, 3.0])),
    )

    assert [(t.row.name, t.nonfinite, t.findings) for t in made.worst(5)] == [
        ("a", 1, 0),
        ("c", 0, 0),
        ("b", 0, 0),
    ]
    assert made.found == {}


def test_findings_are_counted_by_check_with_what_was_said_last():
    one, two = (Finding("spike", "warning", text, "Clip.") for text in ("Up.", "Up again."))
    dead = Finding("dead", "info", "Zero.", "Look.")
    made = progress(
        reports.report(3, findings=(one, dead)),
        reports.report(4),
        reports.report(9, findings=(two,)),
    )

    assert [(name, found.times, found.step) for name, found in made.found.items()] == [
        ("dead", 1, 3),
        ("spike", 2, 9),
    ]
    assert made.found["spike"].finding is two


def test_the_speed_follows_from_the_times_in_the_log(tmp_path):
    encoder, path = Encoder(), tmp_path / "run.jsonl"
    steps = [encoder.step(reports.report(i), time=1000.0 + i / 4) for i in range(9)]
    path.write_text(encoder.run() + "".join(steps))

    made = Progress()
    assert made.speed() is None
    with Follower(path) as follower:
        made.take(follower)
    assert made.speed() == 4.0

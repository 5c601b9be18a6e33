"""The sink `jsonl` writes what `History.load` reads, and loses nothing."""

from __future__ import annotations

import json

import pytest

import reports
from gradcore import History, LogError
from gradcore.sinks import JsonLines


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


def write(path, *steps, **options):
    sink = JsonLines(path, **options)
    for step in steps:
        sink(reports.report(step=step, parameters=reports.table("ab", [step / 3, 1.0])))
    sink.close()


def kinds(path):
    return [json.loads(line)["type"] for line in path.read_text().splitlines()]


def test_what_it_wrote_is_loaded(path):
    write(path, 0, 1, 2)

    history = History.load(path)
    assert [report.step for report in history] == [0, 1, 2]
    assert [row.norm for row in history[2].parameters] == [2 / 3, 1.0]
    assert kinds(path) == ["run", "parameters", "step", "step", "step"]


def test_each_step_tells_when_it_was_written(path):
    write(path, 0, 1)

    first, second = [json.loads(line)["time"] for line in path.read_text().splitlines()[2:]]
    assert path.stat().st_mtime - 60 < first <= second <= path.stat().st_mtime + 1


def test_a_run_that_goes_on_is_appended_with_a_start_of_its_own(path):
    write(path, 0, 1)
    with path.open("a") as file:
        file.write('{"type":"step","step":2,"nor')  # torn by a kill

    write(path, 2, 3)
    assert kinds(path) == ["run", "parameters", "step", "step"] * 2
    assert [report.step for report in History.load(path)] == [0, 1, 2, 3]


def test_a_sink_that_is_given_no_report_writes_nothing(path):
    write(path)

    assert path.read_text() == ""


@pytest.mark.parametrize("how", ["moved away", "emptied", "removed"])
def test_a_log_that_is_rotated_is_begun_anew(path, how):
    """Each of the files can be loaded by itself."""
    sink, table = JsonLines(path), reports.table("ab", [1.0, 2.0])
    sink(reports.report(step=0, parameters=table))
    if how == "moved away":
        path.rename(path.with_name("old.jsonl"))
    elif how == "emptied":
        path.write_text("")
    else:
        path.unlink()

    sink(reports.report(step=1, parameters=table))
    assert [report.step for report in History.load(path)] == [1]
    assert History.load(path)[0].parameters[1].norm == 2.0
    if how == "moved away":
        assert [report.step for report in History.load(path.with_name("old.jsonl"))] == [0]


def test_another_file_is_not_appended_to(path):
    path.write_text('{"loss": 0.1}\n')

    with pytest.raises(LogError, match=r'begins with b\'{"loss": 0.1}'):
        JsonLines(path)
    assert path.read_text() == '{"loss": 0.1}\n'


def test_digits_are_for_parameters(path):
    write(path, 1, digits=3)

    assert [row.norm for row in History.load(path)[0].parameters] == [0.333, 1.0]


@pytest.mark.parametrize("digits", [0, 18, -1, 2.5, "six"])
def test_digits_that_cannot_be_are_refused(path, digits):
    with pytest.raises(ValueError, match="digits must be from 1 to 17, or None; got"):
        JsonLines(path, digits=digits)
    assert not path.exists()

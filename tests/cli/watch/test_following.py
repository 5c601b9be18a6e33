"""A `Follower` yields each step of a log once, whatever becomes of the file."""

from __future__ import annotations

import contextlib
import os

import pytest

import reports
from gradcore import LogError
from gradcore.cli.watch.following import Follower
from gradcore.sinks import JsonLines


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


@pytest.fixture
def sink(path):
    sink = JsonLines(path)
    yield sink
    sink.close()


@pytest.fixture
def follow():
    """Makes followers, and closes them at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda path: stack.enter_context(Follower(path))


def step(number):
    return reports.report(step=number, parameters=reports.table("ab", [float(number), 1.0]))


def new(follower):
    return [report.step for report in follower]


def test_steps_come_once_as_they_are_written(follow, path, sink):
    follower = follow(path)
    sink(step(0))
    sink(step(1))
    assert new(follower) == [0, 1]
    assert new(follower) == []

    sink(step(2))
    (report,) = follower
    assert [row.norm for row in report.parameters] == [2.0, 1.0]


def test_a_log_that_is_not_there_yet_is_waited_for(follow, path):
    follower = follow(path)
    assert new(follower) == []
    assert not follower.found

    sink = JsonLines(path)
    sink(step(0))
    sink.close()
    assert new(follower) == [0]
    assert follower.found


def test_a_line_that_is_half_written_is_waited_for(follow, path, sink):
    sink(step(0))
    sink(step(1))
    content = path.read_bytes()
    for half in (1, 60, len(content) - 30):
        part = path.with_name(f"part{half}")
        part.write_bytes(content[:half])
        follower = follow(part)
        first = new(follower)
        with part.open("ab") as file:
            file.write(content[half:])
        assert first + new(follower) == [0, 1]
        assert follower.damaged == 0


@pytest.mark.parametrize("how", ["moved away", "emptied", "removed", "replaced"])
def test_a_log_that_is_rotated_goes_on(follow, path, sink, how):
    follower = follow(path)
    sink(step(0))
    assert new(follower) == [0]
    sink(step(1))
    if how == "moved away":
        path.rename(path.with_name("old"))
    elif how == "emptied":
        assert new(follower) == [1]  # what was not read before is gone with the file
        os.truncate(path, 0)
    elif how == "removed":
        path.unlink()
    else:
        other = JsonLines(path.with_name("other"))
        other(step(7))
        other.close()
        path.with_name("other").rename(path)

    sink(step(2))
    seen = new(follower) + new(follower)
    assert seen == {"emptied": [2], "replaced": [1, 7, 2]}.get(how, [1, 2])
    assert follower.damaged == 0


def test_a_log_that_was_emptied_and_has_grown_longer_is_read_from_its_start(follow, path):
    """Its size tells nothing, but the first line is another."""
    first = JsonLines(path)
    first(step(0))
    first.close()
    follower = follow(path)
    assert new(follower) == [0]
    content = path.read_bytes().replace(b'"started":"2', b'"started":"3').replace(b"0.0", b"0.00")

    path.write_bytes(content)
    assert new(follower) == [0]


def test_lines_that_cannot_be_read_are_counted_and_passed_over(follow, path, sink):
    follower = follow(path)
    sink(step(0))
    with path.open("ab") as file:
        file.write(b'{"type":"step","step":\n')
    sink(step(1))

    assert new(follower) == [0, 1]
    assert follower.damaged == 1


def test_a_file_that_is_no_log_is_an_error(follow, path):
    path.write_text("step,norm\n")

    with pytest.raises(LogError, match="not a log of gradcore"):
        new(follow(path))

"""Sinks that break a rule are told which one; their correct twins pass."""

from __future__ import annotations

import json
from collections import deque

import pytest

from gradcore.testing import ConformanceError, check_sink


class Lines:
    """Write one line a step."""

    name = "lines"

    def __init__(self, path):
        self.file = path.open("a")

    def __call__(self, report):
        self.file.write(f"{report}\n")

    def close(self):
        self.file.close()


class LeavesOpen(Lines):
    """Close nothing."""

    def close(self):
        self.file.flush()


class Strict(Lines):
    """Write JSON, which has no NaN."""

    def __call__(self, report):
        self.file.write(json.dumps(report.norm, allow_nan=False))


class ClosesNever(Lines):
    """Fail to close."""

    def close(self):
        self.file.close()
        raise OSError("no space left")


class Writes(Lines):
    """Correct the report."""

    def __call__(self, report):
        object.__setattr__(report, "norm", 0.0)


class Collects:
    """Keep every report."""

    name = "collects"

    def __init__(self):
        self.reports = []

    def __call__(self, report):
        self.reports.append(report)


class CollectsUntilClosed(Collects):
    """Keep every report until it is closed."""

    def close(self):
        self.reports.clear()


class CollectsFew(Collects):
    """Keep the last reports until it is closed."""

    def __init__(self):
        self.reports = deque(maxlen=10)

    def close(self):
        self.reports.clear()


class KeepsTheLast(CollectsFew):
    """Keep the last reports for good."""

    def close(self):
        pass


class Adds(Collects):
    """Keep a sum."""

    def __init__(self):
        self.norm = 0.0

    def __call__(self, report):
        self.norm += report.norm


class ClosesHow(Adds):
    """Want to be told how to close."""

    def close(self, how):
        pass


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (LeavesOpen, "After close.. nothing is kept.*unclosed file"),
        (Strict, "takes every report.*beyond float64.*ValueError"),
        (ClosesNever, "does not raise.*OSError: no space left"),
        (Writes, "Reports are read, never written"),
    ],
)
def test_a_sink_that_writes_a_file_is_refused(offered, words, tmp_path):
    with pytest.raises(ConformanceError, match=rf"(?s)Sink \w+ breaks a rule: .*{words}"):
        check_sink(offered, path=tmp_path / "log")


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (Collects, "keeps a bounded number of reports.*it keeps [1-9]"),
        (CollectsUntilClosed, "keeps a bounded number of reports"),
        (ClosesHow, "takes no arguments.*TypeError"),
        (KeepsTheLast, "After close.. nothing is kept.*it keeps 10"),
    ],
)
def test_a_sink_that_needs_no_file_is_refused(offered, words):
    with pytest.raises(ConformanceError, match=f"(?s){words}"):
        check_sink(offered)


def test_the_correct_twins_pass(tmp_path):
    check_sink(Lines, path=tmp_path / "log")
    check_sink(CollectsFew)
    check_sink(Adds)
    assert (tmp_path / "log").read_text().count("\n") > 100

"""A log is read as a run, whole, torn or with steps that were taken again."""

from __future__ import annotations

import math

import numpy as np
import pytest

import recorded
from gradcore import LogError
from gradcore.cli.report.reading import read_run
from gradcore.history import History


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


def test_parameters_of_all_steps_are_read_not_of_the_last_hundred(path):
    recorded.log(path, (recorded.step(n, [1.0, n + 1.0, 2.0]) for n in range(300)))
    run = read_run(path)

    expected = [math.log10(n + 1.0) for n in range(300)]
    np.testing.assert_allclose(run.grid.log_norm[1], expected, atol=1e-6)
    assert run.summary == History.load(path).summary()


def test_steps_that_were_taken_again_count_once(path):
    recorded.log(path, [recorded.step(n, [1.0, 1.0, 1.0], bad=[2]) for n in range(10)])
    recorded.log(path, [recorded.step(n, [10.0, 10.0, 10.0]) for n in range(4, 8)])
    run = read_run(path)

    assert run.arrays["step"].tolist() == list(range(8))
    assert run.grid.log_norm[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert run.grid.nonfinite[2].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert [(s.first, s.last) for s in run.streaks] == [(0, 3)]


def test_the_log_of_a_killed_run_is_read_up_to_its_last_whole_line(path):
    recorded.log(path, (recorded.step(n) for n in range(5)))
    path.write_bytes(path.read_bytes()[:-20])

    assert read_run(path).arrays["step"].tolist() == [0, 1, 2, 3]


def test_what_a_bounded_history_dropped_is_counted(path):
    history = History(3)
    for n in range(10):
        history.append(recorded.step(n, bad=[0]))
    history.save(path)

    assert read_run(path).summary == history.summary()


def test_a_log_without_steps_is_an_error(path):
    recorded.log(path, [recorded.step(0)])
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])

    with pytest.raises(LogError, match=r"run\.jsonl holds no step yet"):
        read_run(path)

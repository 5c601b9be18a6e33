"""``gradcore watch`` shows a run: once, or until it is interrupted."""

from __future__ import annotations

import math
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

import reports
from gradcore import Counts, Finding
from gradcore.cli import main
from gradcore.sinks import JsonLines

SPIKE = Finding(
    "spike", "warning", "The norm is [9] times the median.", "Clip.", parameters=("0.weight",)
)


@pytest.fixture
def path(tmp_path):
    """Of a run of 100 steps, of which one is not finite, and in one a check found something."""
    path, names = tmp_path / "run.jsonl", ["0.weight", "1.weight"]
    sink = JsonLines(path)
    for i in range(100):
        bad = i == 50
        table = reports.table(names, [1.0 + i, 2.0], nan=[3 * bad, 0])
        sink(
            reports.report(
                step=i,
                norm=1.0 + i,
                loss=math.nan if bad else 1 / (1 + i),
                nonfinite=Counts(nan=3 * bad),
                skipped=bad,
                clipped=i % 4 == 0,
                healthy=i not in {50, 60},
                first_nonfinite="0.weight" if bad else None,
                findings=(SPIKE,) if i == 60 else (),
                parameters=table,
            )
        )
    sink.close()
    return path


def shown(capsys, path, width):
    os.environ["COLUMNS"] = str(width)
    try:
        assert main(["watch", str(path), "--once"]) == 0
    finally:
        del os.environ["COLUMNS"]
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 160])
def test_one_look_tells_what_happened(capsys, path, width):
    lines = [" ".join(line.split()) for line in shown(capsys, path, width).splitlines()]

    assert lines[0].startswith("run.jsonl step 99")
    assert max(map(len, lines)) <= width
    page = " ".join(lines)
    assert "100 steps clipped 25.0 % skipped 1.0 % not finite 1.0 % unhealthy 2" in page
    assert "100 (1 to 100)" in next(line for line in lines if line.startswith("norm "))
    assert "0.01 (0.01 to 1)" in next(line for line in lines if line.startswith("loss "))
    assert "50 51 skipped, loss nan, 3 non-finite, first in 0.weight" in page or width == 60
    assert "60 1 spike The norm is [9] times the median. Clip." in page or width == 60
    assert "0.weight 100 1 1" in lines


def test_a_curve_takes_the_width_there_is(capsys, path):
    curves = [
        next(line for line in shown(capsys, path, width).splitlines() if line.startswith("norm"))
        for width in (80, 120)
    ]

    assert len(curves[0].split()[1]) == 42
    assert len(curves[1].split()[1]) == 82


def test_no_log_and_another_file_are_errors_in_words(capsys, tmp_path):
    assert main(["watch", str(tmp_path / "none.jsonl"), "--once"]) == 1
    assert "none.jsonl is not there." in capsys.readouterr().err

    (tmp_path / "other").write_text("norm,loss\n")
    assert main(["watch", str(tmp_path / "other"), "--once"]) == 1
    assert "not a log of gradcore" in capsys.readouterr().err
    assert main(["watch", str(tmp_path), "--once"]) == 1


def test_a_log_without_a_step_says_so(capsys, tmp_path):
    (tmp_path / "run.jsonl").touch()

    assert "has no step yet" in shown(capsys, tmp_path / "run.jsonl", 80)


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "often"])
def test_an_interval_that_cannot_be_is_refused(capsys, path, interval):
    with pytest.raises(SystemExit) as ended:
        main(["watch", str(path), "--interval", interval])
    assert ended.value.code == 2


def test_into_a_pipe_that_knows_ascii_alone_it_prints_once(path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(
        [sys.executable, "-m", "gradcore", "watch", path],
        capture_output=True,
        check=False,
        env=environment,
    )

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.isascii()
    assert b"100 steps" in ended.stdout


def read_until(terminal, word, seconds=60):
    """What a program wrote to its terminal, up to and with a word."""
    content, end = b"", time.monotonic() + seconds
    while word not in content and time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            content += os.read(terminal, 65536)
    assert word in content, content[-2000:]


@pytest.fixture
def ctrl_c_is_heard() -> Iterator[None]:
    """By what the test starts, even where a shell that ignores it started the suite."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_in_a_terminal_it_follows_a_log_until_ctrl_c(tmp_path):
    """It is started before there is a log, which is then written, moved away, and begun anew."""
    path = tmp_path / "run.jsonl"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gradcore", "watch", str(path), "--interval", "0.05"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as watching:
        os.close(theirs)
        read_until(ours, b"waiting for it")
        sink = JsonLines(path)
        sink(reports.report(step=41))
        read_until(ours, b"step 41")
        path.rename(tmp_path / "old")
        sink(reports.report(step=42))
        read_until(ours, b"step 42")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=60) in {0, 130}
        sink.close()
    os.close(ours)

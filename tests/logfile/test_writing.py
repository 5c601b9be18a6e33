"""A log is written in one piece or not at all."""

from __future__ import annotations

import errno
import os
import stat

import pytest

import reports
from gradcore.logfile import Log, write_log
from gradcore.tally import Tally


def test_a_file_is_replaced_by_the_log(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("what was there")

    write_log(path, [reports.report(norm=3.0)], Tally(steps=4))
    log = Log(path)
    assert [report.norm for report in log] == [3.0]
    assert log.decoder.before.steps == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.jsonl"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("what was there")

    def failing():
        yield reports.report()
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_log(path, failing(), Tally())
    assert path.read_text() == "what was there"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_stays_one(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "run.jsonl", tmp_path / "elsewhere" / "real.jsonl"
    link.symlink_to(target)

    write_log(link, [], Tally())
    assert link.is_symlink()
    assert target.exists()


def test_permissions_are_those_of_any_new_file(tmp_path):
    write_log(tmp_path / "run.jsonl", [], Tally())
    (tmp_path / "other").touch()

    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("run.jsonl", "other")]  # noqa: PTH116 - both alike
    assert modes[0] == modes[1]


def test_a_folder_that_is_not_there_is_the_errors_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_log(tmp_path / "none" / "run.jsonl", [], Tally())

"""What earlier versions saved is still read, and what later ones save is refused in words.

Values are those of the steps in ``data/make.py``: the norm of (3, 4) is 5, of (6, 8) 10, of (-, 4)
without its NaN 4; the bound at the second good step is the 95th percentile of {5}.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

import gradcore
from gradcore import LogError

DATA = Path(__file__).parent / "data"
NORMS = [5.0, 4.0, 10.0, 0.0]


def guard(**options):
    weight = torch.nn.Parameter(torch.zeros(2))
    options = {
        "clip": ("percentile", {"window": 4, "warmup": 1}),
        "nonfinite": "adaptive",
    } | options
    return gradcore.Guard([("encoder.weight", weight)], **options)


def state():
    return torch.load(DATA / "guard-1.pt", weights_only=True)


def test_a_guard_of_format_1_is_loaded():
    loaded = guard()
    loaded.load_state_dict(state())

    assert (loaded.steps, loaded.streak.length) == (4, 1)
    assert loaded.clip.norms.values.tolist() == [5.0, 10.0, 0.0, 0.0]
    assert loaded.nonfinite.streak.item() == 1
    assert [report.norm for report in loaded.history] == NORMS
    assert [report.skipped for report in loaded.history] == [False, True, False, True]
    assert [report.clipped_norm for report in loaded.history] == [5.0, 4.0, 5.0, 0.0]
    assert loaded.history[1].nonfinite == gradcore.Counts(nan=1)
    assert loaded.history[3].first_nonfinite == "encoder.weight"
    assert loaded.history.summary()["clip_rate"] == 0.25


def test_and_goes_on():
    """The percentile of {5, 10} is 5 + 0.95 * 5, by linear interpolation."""
    loaded = guard()
    loaded.load_state_dict(state())
    loaded.parameters.tensors[0].grad = torch.tensor([30.0, 40.0])
    report = loaded.apply()

    assert (report.step, report.norm) == (4, 50.0)
    assert report.clipped_norm == pytest.approx(9.75, rel=1e-6)
    assert loaded.streak.length == 0


@pytest.mark.parametrize("name", ["history-1.jsonl", "sink-1.jsonl"])
def test_a_log_of_version_1_is_read(name):
    history = gradcore.History.load(DATA / name)

    assert [report.step for report in history] == [0, 1, 2, 3]
    assert [report.norm for report in history] == NORMS
    assert [report.loss for report in history] == [2.0, 1.5, 1.0, 0.5]
    assert [report.scale for report in history] == [1.0, 1.0, 0.5, 1.0]
    assert history[3].nonfinite == gradcore.Counts(posinf=1)
    (row,) = history[2].parameters
    assert (row.name, row.numel, row.norm, row.scale, row.lr) == (
        "encoder.weight",
        2,
        10.0,
        0.5,
        0.1,
    )


def test_a_guard_of_a_later_format_changes_nothing_and_says_so():
    loaded = guard()

    with pytest.raises(ValueError, match=r"format 1 .*got format 2 .*another version of gradcore"):
        loaded.load_state_dict({**state(), "format": 2})
    assert (loaded.steps, len(loaded.history)) == (0, 0)


def test_a_log_of_a_later_version_says_what_to_do(tmp_path):
    lines = (DATA / "sink-1.jsonl").read_text().splitlines()
    path = tmp_path / "run.jsonl"
    later = {**json.loads(lines[0]), "version": 2, "gradcore": "9.0"}
    path.write_text("\n".join([json.dumps(later), *lines[1:], ""]))

    with pytest.raises(
        LogError, match="gradcore 9.0 in version 2 .*pip install --upgrade gradcore"
    ):
        gradcore.History.load(path)


def test_what_is_saved_today_is_what_the_files_hold(tmp_path):
    """A format that changes gets a new number, and new files beside these: data/README.md."""
    spec = importlib.util.spec_from_file_location("make", DATA / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    make.main(tmp_path)

    def lines(path):
        read = [json.loads(line) for line in path.read_text().splitlines()]
        return [{k: v for k, v in line.items() if k not in {"started", "time"}} for line in read]

    for name in ("history-1.jsonl", "sink-1.jsonl"):
        for now, then in zip(lines(tmp_path / name), lines(DATA / name), strict=True):
            assert now.keys() >= then.keys()
            assert {key: now[key] for key in then if key != "parameters"} == {
                key: then[key] for key in then if key != "parameters"
            }
    now = torch.load(tmp_path / "guard-1.pt", weights_only=True)
    assert now.keys() >= state().keys()
    assert now["format"] == 1

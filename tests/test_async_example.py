"""The example of an asyncio program trains, stops early, and leaves a log that tells all."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import gradcore

EXAMPLE = Path(__file__).parents[1] / "examples" / "async_training.py"


def test_it_trains_with_broken_batches_and_stops_early(tmp_path):
    path = tmp_path / "run.jsonl"
    ended = subprocess.run(
        [sys.executable, EXAMPLE, path], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr

    history = gradcore.History.load(path)
    steps = int(re.search(r"stopped early at step (\d+)", ended.stdout)[1])
    first, best = map(float, re.search(r"loss (\S+) -> (\S+)", ended.stdout).groups())
    assert len(history) == steps < 600
    assert best < first / 10
    skipped = [report.step + 1 for report in history if report.skipped]
    assert skipped == list(range(97, steps + 1, 97))
    assert f"skipped {len(skipped)} broken batches" in ended.stdout
    assert len(set(re.findall(r"learning rate (\S+)", ended.stdout))) > 1
    assert int(re.search(r"(\d+) heartbeats", ended.stdout)[1]) > 0

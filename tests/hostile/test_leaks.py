"""A guard that runs for long takes no more memory than one that has just begun."""

from __future__ import annotations

import gc
import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gradcore
import training

TESTS = str(Path(__file__).parents[1])
STEPS = 20_000
WARM_UP = 4_000
"""Steps in which the ring of the history fills, and allocators find their size."""

ALLOWED = 2_000_000
"""Bytes.  A leak of 128 a step, less than the smallest report, is more in what follows."""


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def grown(folder: Path, steps: int, warm_up: int, *sinks: object) -> int:
    """Bytes by which memory grows in a training with a fault in every tenth step."""
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    training.backward(net)
    clean = [parameter.grad.clone() for parameter in net.parameters()]
    guard = gradcore.Guard(
        net,
        clip="percentile",
        checks="default",
        sinks=[("jsonl", {"path": folder / "run.jsonl"}), *sinks],
        history=1000,
        max_consecutive=None,
    )
    before = 0
    for step in range(steps):
        for parameter, gradient in zip(net.parameters(), clean, strict=True):
            parameter.grad = gradient.clone()
        if step % 10 == 0:
            training.plant(net[0].weight, math.nan)
        guard.step(optimizer, loss=1.0)
        if step == warm_up:
            before = resident()
    after = resident()
    assert len(guard.history) == min(steps, 1000)
    guard.close()
    assert len((folder / "run.jsonl").read_text().splitlines()) >= steps
    return after - before


def grown_in_a_new_process(folder: Path, steps: int, warm_up: int, *, holding: bool) -> int:
    """`grown` where no earlier test has left free memory behind, in which a leak would not show."""
    done = subprocess.run(
        [sys.executable, __file__, str(folder), str(steps), str(warm_up), str(int(holding))],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((TESTS, *sys.path))},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is read from /proc, which is not here"
)


@needs_proc
@pytest.mark.timeout(600)
def test_memory_stays_flat_over_twenty_thousand_steps(tmp_path):
    assert grown_in_a_new_process(tmp_path, STEPS, WARM_UP, holding=False) < ALLOWED


@needs_proc
@pytest.mark.timeout(600)
def test_reports_that_are_held_on_to_would_be_seen(tmp_path):
    """So the test above can fail, in a quarter of its steps."""
    assert grown_in_a_new_process(tmp_path, 5000, 1000, holding=True) > ALLOWED


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    chosen, count, warm, hold = sys.argv[1:]
    watchers = [training.Seen()] if int(hold) else []
    print(grown(Path(chosen), int(count), int(warm), *watchers))  # noqa: T201 - for the test

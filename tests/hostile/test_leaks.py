"""A guard that runs for long takes no more memory than one that has just begun."""

from __future__ import annotations

import gc
import logging
import math
import os
from pathlib import Path

import pytest
import torch

import gradcore
import training

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


@pytest.fixture
def _unheard(caplog):
    """Pytest keeps what is logged, which is no leak of ours."""
    caplog.set_level(logging.CRITICAL, "gradcore")


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is read from /proc, which is not here"
)


@needs_proc
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_unheard")
def test_memory_stays_flat_over_twenty_thousand_steps(tmp_path):
    assert grown(tmp_path, STEPS, WARM_UP) < ALLOWED


@needs_proc
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_unheard")
def test_reports_that_are_held_on_to_would_be_seen(tmp_path):
    """So the test above can fail, in a quarter of its steps."""
    assert grown(tmp_path, 5000, 1000, training.Seen()) > ALLOWED

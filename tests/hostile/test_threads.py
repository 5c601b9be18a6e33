"""Several guards work in as many threads at once, and each does what it does alone."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import gradcore
import training
from gradcore import registry

THREADS = 4
STEPS = 40
OPTIONS = {"clip": "ema", "checks": "default", "nonfinite": "skip"}


def train(seed, barrier=None, **options):
    """Every bit of a short training with faults, and the norms that were reported."""
    torch.set_num_threads(1)
    # Each with a generator of its own: the global one is one for all threads.
    generator = torch.Generator().manual_seed(seed)
    weight = torch.nn.Parameter(torch.randn(64, 33, generator=generator))
    bias = torch.nn.Parameter(torch.randn(33, generator=generator).bfloat16())
    optimizer = torch.optim.AdamW([weight, bias], lr=0.01)
    norms = []
    for step in range(STEPS):
        weight.grad = torch.randn(64, 33, generator=generator)
        bias.grad = torch.randn(33, generator=generator).bfloat16()
        if step % 7 == seed % 7:
            training.plant(weight, math.nan, math.inf)
        if barrier is not None:
            barrier.wait()
        report = gradcore.safe_step(optimizer, loss=1.0, **OPTIONS, **options)
        norms.append((report.norm, report.clipped_norm, report.skipped))
    return training.freeze([weight, bias, optimizer.state_dict()]), norms


@pytest.mark.usefixtures("threads")
def test_trainings_side_by_side_end_as_they_do_alone():
    alone = [train(seed) for seed in range(THREADS)]
    barrier = threading.Barrier(THREADS, timeout=60)

    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda seed: train(seed, barrier), range(THREADS)))
    assert together == alone


def test_the_registry_is_filled_once_whoever_comes_first():
    """One for the process, asked by all threads at the same moment while it is empty."""
    barrier = threading.Barrier(8, timeout=60)

    def ask(_):
        barrier.wait()
        made = registry.default_registry()
        return made, made.names("clip"), gradcore.Guard(torch.nn.Linear(2, 1), clip="ema").clip.name

    for _ in range(5):
        registry.default_registry.cache_clear()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(ask, range(8)))
        assert len({tuple(names) for _, names, _ in found}) == 1
        assert {name for _, _, name in found} == {"ema"}


def test_guards_of_one_optimizer_are_kept_whichever_thread_asks():
    """`safe_step` keeps a guard with the optimizer, not with the thread."""
    owner = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([owner], lr=1.0)
    steps = []

    def step():
        owner.grad = torch.ones(3)
        steps.append(gradcore.safe_step(optimizer, max_norm=1.0).step)

    for _ in range(4):  # one after the other: an optimizer is not for several at once
        thread = threading.Thread(target=step)
        thread.start()
        thread.join(60)
    assert steps == [0, 1, 2, 3]

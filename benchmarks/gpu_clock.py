"""Two clocks: what the device spends on some work, and what a loop that calls it spends."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CYCLES_PER_SECOND = 1.7e9
"""About a GPU's clock: only how long the device is kept waiting depends on it."""


def device_seconds(work: Sequence[Callable[[], object]], repeats: int, queued: int = 1) -> float:
    """Median device time of a call; ``work`` holds the same call for several sets of buffers.

    The device is kept busy until ``queued`` calls stand in its queue, so that the time it takes the
    host to put them there is not in the number.
    """
    for call in work:
        call()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    work[0]()
    host = time.perf_counter() - begun
    torch.cuda.synchronize()
    cycles = int(CYCLES_PER_SECOND * (1.5 * host * queued + 2e-4))
    times: list[float] = []
    for turn in range(repeats):
        start, end = _event(), _event()
        torch.cuda._sleep(cycles)  # type: ignore[no-untyped-call]  # noqa: SLF001
        start.record()
        for number in range(queued):
            work[(turn * queued + number) % len(work)]()
        end.record()
        torch.cuda.synchronize()
        times.append(float(start.elapsed_time(end)) / 1e3 / queued)
    return statistics.median(times)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def loop_seconds(work: Sequence[Callable[[], object]], repeats: int, calls: int) -> float:
    """Median time of a call in a loop that waits only at its end: host and device together."""
    for call in work:
        call()
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for number in range(calls):
            work[number % len(work)]()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - begun) / calls)
    return statistics.median(times)

"""Peak memory and time of contrastive losses of six sets, against the joint tensor held whole.

    python benchmarks/contrastive.py

Every line is a process of its own that runs forward and backward once on few rows, then once on as
many as the line says; memory is what this added to the peak of the process.  The naive way is an
einsum of all sets and torch's cross-entropy along each axis.  Writes a table to ``results/``.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from gradcore.numerics import nway_contrastive_loss

SETS = 6
WIDTH = 64
SCALE = 14.0
RESULTS = Path(__file__).parent / "results"
LINES = [
    ("product", "naive, float64", 16),
    ("product", "naive", 16),
    ("product", "chunk=1", 16),
    ("product", "naive", 20),
    ("product", "chunk=1", 20),
    ("product", "naive", 24),
    ("product", "chunk=1", 24),
    ("product", "chunk=1", 32),
    ("cosine", "naive", 20),
    ("cosine", "contracted", 20),
    ("cosine", "contracted", 32),
    ("norm", "contracted", 32),
    ("distance", "naive", 20),
    ("distance", "contracted", 32),
]


def naive(features: list[Tensor], method: str) -> Tensor:
    """Hold everything: the joint tensor, and what autograd keeps of each axis."""
    rows = [functional.normalize(x) for x in features]
    count = len(rows[0])
    if method == "product":
        halves = [torch.einsum("az,bz,cz->abcz", *half) for half in (rows[:3], rows[3:])]
        joint = torch.einsum("abcz,defz->abcdef", *halves)
    else:
        joint = rows[0].new_zeros([count] * SETS)
        for i, j in combinations(range(SETS), 2):
            x, y = rows[i], rows[j]
            pair = x @ y.T if method == "cosine" else -torch.cdist(x, y)
            shape = [1] * SETS
            shape[i] = shape[j] = count
            joint = joint + pair.reshape(shape) / 15
    target = torch.arange(count)
    aligned = sum(target * count**power for power in range(SETS - 1))
    losses = [
        functional.cross_entropy(SCALE * joint.movedim(axis, 0).reshape(count, -1), aligned)
        for axis in range(SETS)
    ]
    return torch.stack(losses).mean()


def run(method: str, way: str, count: int) -> tuple[float, float]:
    """Forward and backward: the loss, and the norm of the gradient."""
    generator = torch.Generator().manual_seed(0)
    dtype = torch.float64 if way.endswith("float64") else torch.float32
    features = [
        torch.randn(count, WIDTH, generator=generator).to(dtype).requires_grad_()
        for _ in range(SETS)
    ]
    if way.startswith("naive"):
        loss = naive(features, method)
    else:
        chunk = 1 if way == "chunk=1" else None
        loss = nway_contrastive_loss(*features, method=method, logit_scale=SCALE, chunk=chunk)
    loss.backward()
    return loss.item(), torch.stack([x.grad for x in features]).norm().item()


def measure(method: str, way: str, count: int) -> None:
    """Print what one line of the table needs, as JSON: run in a process of its own."""
    peak: Callable[[], int] = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # noqa: E731
    run(method, way, 2)
    before = peak()
    begun, busy = time.perf_counter(), time.process_time()
    loss, gradient = run(method, way, count)
    seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    print(json.dumps([(peak() - before) / 1024, seconds, busy, loss, gradient]))


def main() -> None:
    """Measure every line, compare with float64 where that fits, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--line", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.line:
        method, way, count = options.line
        measure(method, way, int(count))
        return
    table = [
        (
            f"Six sets, {WIDTH} numbers a row, float32, forward and backward; {platform.machine()},"
            f" torch {torch.__version__}, threads: {torch.get_num_threads()}.\n"
        ),
        "| form | rows | joint logits | way | peak memory | time | processor time | loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    # The naive way in float32 is not compared: sums of millions of terms drift.
    known: dict[tuple[str, int], list[float]] = {}
    for method, way, count in LINES:
        words = [sys.executable, __file__, "--line", method, way, str(count)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603 - itself
        memory, seconds, busy, *result = json.loads(done.stdout)
        expected = result if way == "naive" else known.setdefault((method, count), result)
        if abs(result[0] - expected[0]) > 1e-5 * expected[0]:
            raise SystemExit(f"{method}, {count} rows, {way}: {result[0]}, not {expected[0]}.")
        table.append(
            f"| {method} | {count} | {count**SETS / 1e6:.0f} million | {way} | {memory:.0f} MiB"
            f" | {seconds:.2f} s | {busy:.2f} s | {result[0]:.5f} |"
        )
        print(table[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "contrastive.md").write_text("\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Time gradcore on the GPU at hand, against the card itself and against torch.

    python benchmarks/gpu.py [--quick]

Checks results against float64 first, prints a table of medians and writes it, with the goals, to
``benchmarks/results/gpu-<card>.md``.  README.md beside this says what a bare machine needs.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gpu_lists
import torch
from gpu_clock import device_seconds, loop_seconds
from gpu_report import Report
from torch import Tensor

import gradcore

TORCH = "torch clip_grad_norm_"
OPERATORS = "gradcore operators, nothing clipped"
OURS = "gradcore clip_grad_norm_, nothing clipped"
SAFE = "gradcore.safe_step, AdamW"
L2 = 5
GIB = 1 << 30
ROTATE = 160 << 20
"""Bytes of all copies of a list: enough to push one out of any cache before it is read again."""

Times = dict[str, float]
Work = list[Callable[[], object]]


def measure(gradients: list[Tensor], needs: int = 0) -> Tensor:
    """The table."""
    table: Tensor = torch.ops.gradcore.measure(gradients, needs, 2.0, math.inf, None)
    return table


def apply_(gradients: list[Tensor], table: Tensor, factor: Tensor, repair: int = 0) -> None:
    """Multiply by ``factor``."""
    torch.ops.gradcore.apply_(gradients, table, factor, None, repair, None, math.inf, math.inf)


def clip_(gradients: list[Tensor], max_norm: float) -> None:
    """Clip by the two operators, with the decision on the device."""
    table = measure(gradients)
    apply_(gradients, table, (max_norm / table[L2, -1]).clamp(max=1.0), 1)


def bytes_of(shapes: list[tuple[int, ...]], dtype: torch.dtype) -> int:
    """Size of a list."""
    return sum(math.prod(shape) for shape in shapes) * dtype.itemsize


def micro(seconds: float) -> str:
    """In microseconds."""
    return f"{seconds * 1e6:,.1f} us"


def each(function: Callable[..., object], *sets: Sequence[Any]) -> Work:
    """The call for each set of buffers."""
    return [partial(function, *arguments) for arguments in zip(*sets, strict=True)]


def check(gradients: list[Tensor]) -> None:
    """Compare the table with float64 sums, and a scaled list with its product."""
    error = 1e-6 if gradients[0].dtype is torch.bfloat16 else 1e-12
    squares = torch.stack([gradient.double().square_().sum() for gradient in gradients])
    table = measure(gradients)
    torch.testing.assert_close(table[L2, :-1], squares.sqrt(), rtol=error, atol=0)
    torch.testing.assert_close(table[L2, -1], squares.sum().sqrt(), rtol=error, atol=0)
    copies = [gradients[0].clone(), gradients[-1].clone()]
    apply_(copies, measure(copies), torch.tensor(0.25, dtype=torch.float64, device="cuda"))
    for got, before in zip(copies, (gradients[0], gradients[-1]), strict=True):
        torch.testing.assert_close(got, before * 0.25, rtol=0, atol=0)


def ceilings(report: Report, repeats: int) -> float:
    """What the card copies and reads a second, in bytes; returns the rate of copies."""
    one, other = (torch.empty(4 * GIB, dtype=torch.uint8, device="cuda") for _ in range(2))
    numbers = one.view(torch.float32).normal_()
    seconds = device_seconds([partial(other.copy_, one)], repeats)
    copy = 2 * one.numel() / seconds
    report.row("4 GiB", "copy", micro(seconds), "", f"{copy / 1e12:.2f} TB/s", "")
    seconds = device_seconds([numbers.sum], repeats)
    rate = one.numel() / seconds
    report.row("4 GiB", "read (torch.sum)", micro(seconds), "", f"{rate / 1e12:.2f} TB/s", "")
    return copy


class ListTimes:
    """The rows of one list."""

    def __init__(self, report: Report, name: str, size: int, repeats: int) -> None:
        self.report, self.name, self.size, self.repeats = report, name, size, repeats
        self.loops, self.calls = (3, 5) if size > 4 * GIB else (7, 20)
        self.found: Times = {}

    def row(self, what: str, work: Work, traffic: int, queued: int = 1) -> None:
        """Time ``work``, a call of which moves ``traffic`` times the list's bytes."""
        device = device_seconds(work, self.repeats, queued)
        loop = loop_seconds(work, self.loops, self.calls)
        self.found |= {what: device, f"{what}, loop": loop}
        rate = f"{traffic * self.size / device / 1e12:.2f} TB/s" if traffic else ""
        ratio = f"{self.found[f'{TORCH}, loop'] / loop:.2f} x torch" if "gradcore" in what else ""
        self.report.row(self.name, what, micro(device), micro(loop), rate, ratio)


def time_list(
    report: Report, name: str, shapes: list[tuple[int, ...]], dtype: torch.dtype, repeats: int
) -> Times:
    """All rows of one list; returns times by name."""
    size = bytes_of(shapes, dtype)
    sets = [gpu_lists.gradients_of(shapes, dtype) for _ in range(max(1, math.ceil(ROTATE / size)))]
    owners = [gpu_lists.parameters_of(gradients) for gradients in sets]
    tables = [measure(gradients) for gradients in sets]
    check(sets[0])
    less, one = (torch.tensor(f, dtype=torch.float64, device="cuda") for f in (0.999, 1.0))
    torch_clip, our_clip = torch.nn.utils.clip_grad_norm_, gradcore.clip_grad_norm_
    times = ListTimes(report, name, size, repeats)
    times.row(TORCH, each(partial(torch_clip, max_norm=1e9), owners), 3)
    times.row("measure", each(measure, sets), 1)
    times.row("measure, every statistic", each(partial(measure, needs=15), sets), 1)
    times.row("apply_, scaling", each(partial(apply_, factor=less), sets, tables), 2)
    leaving = each(partial(apply_, factor=one, repair=1), sets, tables)
    times.row("apply_, nothing to do", leaving, 0, queued=20)
    times.row(OPERATORS, each(partial(clip_, max_norm=1e9), sets), 1)
    times.row(OURS, each(partial(our_clip, max_norm=1e9), owners), 1)
    times.row(
        "gradcore clip_grad_norm_, clipped", each(partial(our_clip, max_norm=1e-3), owners), 3
    )
    if dtype is torch.float32 and size < 4 * GIB:
        times.row("torch unscale_, clip_grad_norm_", [amp(owners[0])], 5)
    return times.found


def amp(owner: list[torch.nn.Parameter]) -> Callable[[], object]:
    """What AMP does before a step: unscale, then clip."""
    optimizer = torch.optim.SGD(owner, lr=0.0)
    scaler = torch.amp.GradScaler("cuda", init_scale=1.0)
    scaler.scale(torch.ones((), device="cuda"))

    def both() -> None:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(owner, 1e9)
        scaler.update(1.0)

    return both


def time_step(report: Report, repeats: int) -> None:
    """GPT-2 in float32: fused AdamW alone, after torch's clipping, and within safe_step."""
    gradients = gpu_lists.gradients_of(gpu_lists.gpt2(), torch.float32)
    parameters = [torch.nn.Parameter(gradient.clone()) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer = torch.optim.AdamW(parameters, lr=1e-9, fused=True)

    def clipped() -> None:
        torch.nn.utils.clip_grad_norm_(parameters, 1e9)
        optimizer.step()

    def safe() -> None:
        gradcore.safe_step(optimizer, max_norm=1e9)

    for what, step in (("AdamW", optimizer.step), ("torch clip, AdamW", clipped), (SAFE, safe)):
        loop = loop_seconds([step], 7, 20)
        # safe_step may wait for the device, which must then not be kept waiting.
        device = "" if what == SAFE else micro(device_seconds([step], repeats))
        report.row("GPT-2 float32", what, device, micro(loop), "", "")


def goals(report: Report, found: dict[str, Times], copy: float) -> None:
    """Set what was found against what is wanted."""

    def ratio(times: Times) -> float:
        return times[f"{TORCH}, loop"] / times[f"{OURS}, loop"]

    if large := found.get("7B bfloat16"):
        share = bytes_of(gpu_lists.llama_7b(), torch.bfloat16) / large["measure"] / copy * 100
        report.goal("measure, 7B bfloat16, of the copy rate", share, 90, "%", at_most=False)
        text = "torch's clip over ours, 7B bfloat16, nothing clipped"
        report.goal(text, ratio(large), 2.5, "x", at_most=False)
    if medium := found.get("GPT-2 bfloat16"):
        report.goal("measure, GPT-2 bfloat16", medium["measure"] * 1e6, 100, "us", at_most=True)
        leave = medium["apply_, nothing to do"] * 1e6
        report.goal("apply_ with nothing to do, GPT-2 bfloat16", leave, 4, "us", at_most=True)
    if many := found.get("10,000 small bfloat16"):
        text = "torch's clip over ours, 10,000 small tensors"
        report.goal(text, ratio(many), 10, "x", at_most=False)


def main() -> None:
    """Run everything that fits, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats, no 7B lists")
    quick = parser.parse_args().quick
    if not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py needs a GPU and a torch built for it.")
    begun = time.perf_counter()
    repeats = 10 if quick else 30
    report = Report()
    copy = ceilings(report, repeats)
    lists = [
        ("GPT-2", gpu_lists.gpt2(), torch.bfloat16),
        ("GPT-2", gpu_lists.gpt2(), torch.float32),
    ]
    lists += [("10,000 small", gpu_lists.small(), torch.bfloat16)]
    if not quick:
        large = gpu_lists.llama_7b()
        lists += [("7B", large, torch.bfloat16), ("7B", large, torch.float32)]
    found: dict[str, Times] = {}
    for name, shapes, dtype in lists:
        title = f"{name} {str(dtype).removeprefix('torch.')}"
        gc.collect()
        torch.cuda.empty_cache()
        size = bytes_of(shapes, dtype)
        if size + 6 * GIB > torch.cuda.mem_get_info()[0]:
            report.row(title, f"does not fit ({size / GIB:.0f} GiB)", "", "", "", "")
            continue
        found[title] = time_list(report, title, shapes, dtype, repeats if size < GIB else 9)
    gc.collect()
    torch.cuda.empty_cache()
    time_step(report, repeats)
    goals(report, found, copy)
    path = report.write()
    print("\n".join(["", *report.goals, f"{time.perf_counter() - begun:.0f} s, written to {path}"]))


if __name__ == "__main__":
    main()

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
from functools import partial

import gpu_lists
import torch
from gpu_clock import device_seconds, loop_seconds
from gpu_report import Report
from torch import Tensor

import gradcore

L2 = 5
GIB = 1 << 30
ROTATE = 256 << 20  # bytes: enough to push a list out of any cache before its turn comes again


def measure(gradients: list[Tensor], needs: int = 0) -> Tensor:
    """The table."""
    return torch.ops.gradcore.measure(gradients, needs, 2.0, math.inf, None)


def apply_(gradients: list[Tensor], table: Tensor, factor: Tensor, repair: int = 0) -> None:
    """Multiply by ``factor``."""
    torch.ops.gradcore.apply_(gradients, table, factor, None, repair, None, math.inf, math.inf)


def clip_(gradients: list[Tensor], max_norm: float) -> Tensor:
    """Clip by the two operators, with the decision on the device."""
    table = measure(gradients)
    factor = (max_norm / table[L2, -1]).clamp(max=1.0)
    apply_(gradients, table, factor, 1)
    return table


def micro(seconds: float) -> str:
    """Microseconds, or milliseconds where there are many."""
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-2 else f"{seconds * 1e3:.2f} ms"


def check(gradients: list[Tensor]) -> None:
    """Compare the table with float64 sums, and a clipped list with its product."""
    error = 1e-6 if gradients[0].element_size() == 2 else 1e-12
    squares = torch.stack([gradient.double().square_().sum() for gradient in gradients])
    table = measure(gradients)
    torch.testing.assert_close(table[L2, :-1], squares.sqrt(), rtol=error, atol=0)
    torch.testing.assert_close(table[L2, -1], squares.sum().sqrt(), rtol=error, atol=0)
    copy = [gradients[0].clone(), gradients[-1].clone()]
    apply_(copy, measure(copy), torch.tensor(0.25, dtype=torch.float64, device="cuda"))
    for got, before in zip(copy, (gradients[0], gradients[-1]), strict=True):
        torch.testing.assert_close(got, before * 0.25, rtol=0, atol=0)


def ceilings(report: Report, repeats: int) -> float:
    """What the card copies and reads a second, in bytes; returns the rate of copies."""
    one, other = (torch.empty(4 * GIB, dtype=torch.uint8, device="cuda") for _ in range(2))
    one.view(torch.float32).normal_()
    seconds = device_seconds([partial(other.copy_, one)], repeats)
    copy = 2 * one.numel() / seconds
    report.row("4 GiB", "copy", micro(seconds), "", f"{copy / 1e12:.2f} TB/s", "")
    numbers = one.view(torch.float32)
    seconds = device_seconds([numbers.sum], repeats)
    rate = one.numel() / seconds
    report.row("4 GiB", "read (torch.sum)", micro(seconds), "", f"{rate / 1e12:.2f} TB/s", "")
    return copy


def time_list(
    report: Report, name: str, shapes: list[tuple[int, ...]], dtype: torch.dtype, repeats: int
) -> dict[str, float]:
    """All rows of one list; returns times and ratios by name."""
    size = sum(math.prod(shape) for shape in shapes) * dtype.itemsize
    sets = [gpu_lists.gradients_of(shapes, dtype) for _ in range(max(1, math.ceil(ROTATE / size)))]
    owners = [gpu_lists.parameters_of(gradients) for gradients in sets]
    tables = [measure(gradients) for gradients in sets]
    check(sets[0])
    half, one = (torch.tensor(f, dtype=torch.float64, device="cuda") for f in (0.999, 1.0))
    loops = 3 if size > 4 * GIB else 10
    times: dict[str, float] = {}

    def row(what: str, calls: list[partial[object]], traffic: float = 0.0, queued: int = 1) -> None:
        times[what] = device_seconds(calls, repeats, queued)
        times[f"{what}, loop"] = loop_seconds(calls, loops)
        rate = f"{traffic * size / times[what] / 1e12:.2f} TB/s" if traffic else ""
        base = times.get("torch clip_grad_norm_, loop") if "gradcore" in what else None
        ratio = f"{base / times[f'{what}, loop']:.2f} x torch" if base else ""
        report.row(name, what, micro(times[what]), micro(times[f"{what}, loop"]), rate, ratio)

    def each(function: object, *others: list[object], **options: object) -> list[partial[object]]:
        return [partial(function, *both, **options) for both in zip(*others, strict=True)]  # type: ignore[arg-type]

    torch_clip = torch.nn.utils.clip_grad_norm_
    row("torch clip_grad_norm_", each(torch_clip, owners, max_norm=1e9), 3)
    row("measure", each(measure, sets), 1)
    row("measure, every statistic", each(partial(measure, needs=15), sets), 1)
    row("apply_, scaling", each(partial(apply_, factor=half), sets, tables), 2)
    row("apply_, nothing to do", each(partial(apply_, factor=one, repair=1), sets, tables), 0, 20)
    row("gradcore operators, nothing clipped", each(partial(clip_, max_norm=1e9), sets), 1)
    row("gradcore clip_grad_norm_, nothing clipped", each(
        partial(gradcore.clip_grad_norm_, max_norm=1e9), owners
    ), 1)  # fmt: skip
    row("gradcore clip_grad_norm_, clipped", each(
        partial(gradcore.clip_grad_norm_, max_norm=1e-3), owners
    ), 3)  # fmt: skip
    if dtype is torch.float32 and size < GIB:
        time_scaler(report, name, owners[0], repeats, size)
    return times


def time_scaler(
    report: Report, name: str, owner: list[torch.nn.Parameter], repeats: int, size: int
) -> None:
    """What AMP does before a step: unscale, then clip."""
    optimizer = torch.optim.SGD(owner, lr=0.0)
    scaler = torch.amp.GradScaler("cuda", init_scale=1.0)
    scaler.scale(torch.ones((), device="cuda"))

    def both() -> None:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(owner, 1e9)
        scaler.update(1.0)

    device, loop = device_seconds([both], repeats), loop_seconds([both], 10)
    rate = f"{5 * size / device / 1e12:.2f} TB/s"
    report.row(name, "torch unscale_, clip_grad_norm_", micro(device), micro(loop), rate, "")


def time_step(report: Report, repeats: int) -> None:
    """GPT-2 in float32: fused AdamW alone, after torch's clipping, and within safe_step."""
    parameters = [
        torch.nn.Parameter(tensor)
        for tensor in gpu_lists.gradients_of(gpu_lists.gpt2(), torch.float32)
    ]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.AdamW(parameters, lr=1e-9, fused=True)

    def clipped() -> None:
        torch.nn.utils.clip_grad_norm_(parameters, 1e9)
        optimizer.step()

    def safe() -> None:
        gradcore.safe_step(optimizer, max_norm=1e9)

    steps = {
        "AdamW": optimizer.step,
        "torch clip, AdamW": clipped,
        "gradcore.safe_step, AdamW": safe,
    }
    for what, step in steps.items():
        loop = loop_seconds([step], 10)
        device = device_seconds([step], repeats) if step is not safe else math.nan
        shown = micro(device) if device == device else "waits"
        report.row("GPT-2 float32", what, shown, micro(loop), "", "")


def main() -> None:
    """Run everything that fits, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats, no 7B lists")
    quick = parser.parse_args().quick
    if not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py needs a GPU and a torch built for it.")
    repeats = 10 if quick else 30
    begun = time.perf_counter()
    report = Report()
    copy = ceilings(report, repeats)
    lists = [
        ("GPT-2", gpu_lists.gpt2(), torch.bfloat16),
        ("GPT-2", gpu_lists.gpt2(), torch.float32),
        ("10,000 small", gpu_lists.small(), torch.bfloat16),
    ]
    if not quick:
        large = gpu_lists.llama_7b()
        lists += [("7B", large, torch.bfloat16), ("7B", large, torch.float32)]
    found: dict[str, dict[str, float]] = {}
    for name, shapes, dtype in lists:
        title = f"{name} {str(dtype).removeprefix('torch.')}"
        gc.collect()
        torch.cuda.empty_cache()
        need = sum(math.prod(shape) for shape in shapes) * dtype.itemsize
        if need + 6 * GIB > torch.cuda.mem_get_info()[0]:
            report.row(title, f"does not fit ({need / GIB:.0f} GiB)", "", "", "", "")
            continue
        fewer = repeats if need < 4 * GIB else max(5, repeats // 3)
        found[title] = time_list(report, title, shapes, dtype, fewer)
    gc.collect()
    torch.cuda.empty_cache()
    time_step(report, repeats)
    goals(report, found, copy)
    path = report.write()
    print("\n".join(["", *report.goals, f"{time.perf_counter() - begun:.0f} s, written to {path}"]))


def goals(report: Report, found: dict[str, dict[str, float]], copy: float) -> None:
    """Set what was found against what is wanted."""
    torch_loop, ours = (
        "torch clip_grad_norm_, loop",
        "gradcore clip_grad_norm_, nothing clipped, loop",
    )
    if large := found.get("7B bfloat16"):
        size = sum(math.prod(shape) for shape in gpu_lists.llama_7b()) * 2
        share = size / large["measure"] / copy * 100
        report.goal("measure, 7B bfloat16, of the copy rate", share, 90, "%", at_most=False)
        ratio = large[torch_loop] / large[ours]
        report.goal("torch's clip, 7B bfloat16, nothing clipped", ratio, 2.5, "x", at_most=False)
    if medium := found.get("GPT-2 bfloat16"):
        report.goal("measure, GPT-2 bfloat16", medium["measure"] * 1e6, 100, "us", at_most=True)
        leave = medium["apply_, nothing to do"] * 1e6
        report.goal("apply_ with nothing to do, GPT-2 bfloat16", leave, 4, "us", at_most=True)
    if many := found.get("10,000 small bfloat16"):
        ratio = many[torch_loop] / many[ours]
        report.goal("torch's clip, 10,000 small tensors", ratio, 10, "x", at_most=False)


if __name__ == "__main__":
    main()

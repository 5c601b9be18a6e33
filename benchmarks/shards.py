"""What clipping many small DTensors costs on two ranks, by torch and by gradcore.

    torchrun --standalone --nproc-per-node 2 benchmarks/shards.py [parameters]

Small tensors on purpose: it is what is done for each tensor that differs, not the reading of its
elements.  Ways take turns, and what counts is the median over rounds of the slower rank.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

import gradcore

ELEMENTS, ROUNDS = 64, 30


def parameters_of(count: int) -> list[nn.Parameter]:
    """Sharded over both ranks, with gradients."""
    mesh = init_device_mesh("cpu", (2,))
    made = []
    for _ in range(count):
        parameter = nn.Parameter(distribute_tensor(torch.randn(ELEMENTS), mesh, [Shard(0)]))
        parameter.grad = distribute_tensor(torch.randn(ELEMENTS), mesh, [Shard(0)])
        made.append(parameter)
    return made


def by_hand(parameters: list[nn.Parameter], max_norm: float) -> None:
    """The least that is to be done: torch's functions on local tensors, and one all-reduce."""
    shards = [p.grad.to_local() if isinstance(p.grad, DTensor) else p.grad for p in parameters]
    square = torch.stack(torch._foreach_norm(shards)).square().sum()  # noqa: SLF001 - as torch does
    dist.all_reduce(square)
    factor = (max_norm / (square.sqrt() + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(shards, factor)


def milliseconds(work: Callable[[], object]) -> float:
    """Of one call, on the slower rank."""
    dist.barrier()
    start = time.perf_counter()
    work()
    taken = torch.tensor(time.perf_counter() - start)
    dist.all_reduce(taken, op=dist.ReduceOp.MAX)
    return 1e3 * taken.item()


def main() -> None:
    """Print a table on the first rank."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    parameters = parameters_of(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
    guard = gradcore.Guard(parameters, max_norm=1.0, history=1)
    ways: dict[str, Callable[[], object]] = {
        "torch.nn.utils.clip_grad_norm_": lambda: nn.utils.clip_grad_norm_(parameters, 1.0),
        "gradcore.clip_grad_norm_": lambda: gradcore.clip_grad_norm_(parameters, 1.0),
        "gradcore.Guard.apply": guard.apply,
        "torch on local tensors, by hand": lambda: by_hand(parameters, 1.0),
    }
    first = {name: milliseconds(work) for name, work in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, work in ways.items():
            for parameter in parameters:  # so that there is something to clip for each
                parameter.grad.to_local().normal_()
            times[name].append(milliseconds(work))
    if dist.get_rank() == 0:
        print(f"{len(parameters)} DTensors of {ELEMENTS} elements, two ranks, gloo; ms\n")
        print("| | first call | later | of torch's |\n|---|---|---|---|")
        medians = {name: statistics.median(each) for name, each in times.items()}
        torchs = next(iter(medians.values()))
        for name, median in medians.items():
            print(f"| `{name}` | {first[name]:.3g} | {median:.3g} | {median / torchs:.2f} |")
        sys.stdout.flush()
    dist.barrier()
    os._exit(0)  # gloo's threads sometimes abort a process that is taken down


if __name__ == "__main__":
    main()

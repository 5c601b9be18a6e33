"""Programs that run in several processes at once, each with a rank.

All of them are forked from one server that has imported torch: what a rank spends most of its time
on otherwise.  Beyond modules the server has nothing, and no thread, that a rank could inherit.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        *("torch", "torch.distributed.tensor.parallel", "torch.distributed.fsdp"),
        *("gradcore", "gradcore.distributed.job"),
        # which DTensor and FSDP2 import when they are first used
        *("torch._dynamo", "torch._inductor._functionalize_collectives"),
        "pytest",  # which multiprocessing imports anew in every process, as what started them all
    ]
)

SET_UP = """
import json, sys
from datetime import timedelta
import torch
from torch import nn

store, rank = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{store}", rank=rank, world_size=SIZE, timeout=timedelta(seconds=20)
)
torch.manual_seed(0)
"""

# Gloo's threads sometimes end a process with "terminate called without an active exception" while
# it is taken down, long after everything that a test is about.  So it is not taken down: what a
# server has forked ends with os._exit.
TEAR_DOWN = """
torch.distributed.barrier()
print(json.dumps(result), flush=True)
"""


class Rank:
    """A process that runs a program, handled like one of `subprocess`."""

    def __init__(self, source: str, folder: Path, rank: int, *options: str) -> None:
        self.files = [folder / f"{rank}.{stream}" for stream in ("out", "err")]
        arguments = [f"rank {rank}", str(folder / "store"), str(rank), *options]
        self.process = SERVER.Process(target=run, args=(source, arguments, *self.files))
        self.process.start()

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def communicate(self, timeout: float) -> list[str]:
        """What it wrote to standard output and to standard error, once it has ended."""
        self.process.join(timeout)
        if self.returncode is None:
            raise TimeoutExpired(self.process.name, timeout)
        return [file.read_text(encoding="utf-8") for file in self.files]

    def kill(self) -> None:
        self.process.kill()


def run(source: str, arguments: list[str], out: Path, err: Path) -> None:
    """In the process of a rank: what `python -c` does."""
    for number, file in enumerate((out, err), start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = arguments
    # Of the module: what a program leaves behind is not taken down when this function returns.
    names = sys.modules["__main__"].__dict__
    exec(compile(source, arguments[0], "exec"), names)  # noqa: S102 - our own program


def both(program: str, folder: Path, *options: object) -> list[Any]:
    """What the program leaves in ``result`` on each rank; ``sys.argv[3:]`` are the options."""
    return each_of(2, program, folder, *options)


def started(size: int, program: str, folder: Path, *options: object) -> list[Rank]:
    """So many processes, whose end is up to the program."""
    source = f"SIZE = {size}\n" + SET_UP + program
    return [Rank(source, folder, rank, *map(str, options)) for rank in range(size)]


def each_of(size: int, program: str, folder: Path, *options: object) -> list[Any]:
    """The same of so many processes, which ``SIZE`` tells the program."""
    ranks = started(size, program + TEAR_DOWN, folder, *options)
    try:
        said = [rank.communicate(timeout=100) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    # Of all that failed: the first may only say that another went away.
    failed = [e for rank, (_, e) in zip(ranks, said, strict=True) if rank.returncode != 0]
    assert not failed, "\n\n".join(failed)
    return [json.loads(out.splitlines()[-1]) for out, _ in said]

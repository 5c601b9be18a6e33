"""Programs that run in several processes at once, each with a rank."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

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
# it is taken down, long after everything that a test is about.  So it is not taken down.
TEAR_DOWN = """
import os
torch.distributed.barrier()
print(json.dumps(result), flush=True)
os._exit(0)
"""


def both(program: str, folder: Path, *options: object) -> list[Any]:
    """What the program leaves in ``result`` on each rank; ``sys.argv[3:]`` are the options."""
    return each_of(2, program, folder, *options)


def started(size: int, program: str, folder: Path, *options: object) -> list[subprocess.Popen[str]]:
    """So many processes, whose end is up to the program."""
    source = f"SIZE = {size}\n" + SET_UP + program
    return [
        subprocess.Popen(
            [sys.executable, "-c", source, str(folder / "store"), str(rank), *map(str, options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def each_of(size: int, program: str, folder: Path, *options: object) -> list[Any]:
    """The same of so many processes, which ``SIZE`` tells the program."""
    processes = started(size, program + TEAR_DOWN, folder, *options)
    try:
        said = [process.communicate(timeout=100) for process in processes]
    finally:
        for process in processes:
            process.kill()
    # Of all that failed: the first may only say that another went away.
    failed = [e for p, (_, e) in zip(processes, said, strict=True) if p.returncode != 0]
    assert not failed, "\n\n".join(failed)
    return [json.loads(out.splitlines()[-1]) for out, _ in said]

"""One rank of a case, in a process of its own that `running.py` starts.

Each line of its output is a side and what this rank says of it.  A rank that is not done with a
side after so many seconds ends with a traceback of where it waits.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import threading
import traceback
from datetime import timedelta
from pathlib import Path

import torch
from case import SIDES
from cases import CASES
from torch import distributed as dist


def main(name: str, rank: int, folder: Path, seconds: float) -> None:
    """Say all sides of a case; what is written goes to files in the folder."""
    for number, kind in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{rank}.{kind}", os.O_WRONLY | os.O_CREAT), number)
    try:
        say(name, rank, folder / "store", seconds)
    except BaseException:  # noqa: BLE001 - it is said, and the process ends at once
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # gloo's threads sometimes abort a process that is taken down


def say(name: str, rank: int, store: Path, seconds: float) -> None:
    """Say all sides of a case."""
    logging.getLogger("gradcore").setLevel(logging.ERROR)  # the table says it
    torch.set_num_threads(1)
    kind = CASES[name]
    dist.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=kind.ranks,
        timeout=timedelta(seconds=100 * seconds),  # not what ends it
    )
    for side in SIDES:
        dist.barrier()
        done = threading.Event()
        threading.Thread(target=watch, args=(done, seconds), daemon=True).start()
        said = getattr(kind(), side)()
        done.set()
        print(json.dumps([side, said]), flush=True)
        dist.barrier()  # a rank that raised waits here for the others, until they are stopped
    dist.barrier()


def watch(done: threading.Event, seconds: float) -> None:
    """End this process unless it is done after so many seconds in which it could run.

    Not by the clock: a machine that is paused for a while makes no rank hang.
    """
    for _ in range(round(seconds * 10)):
        if done.wait(0.1):
            return
    print(f"Timeout ({seconds:g} s)", file=sys.stderr, flush=True)
    faulthandler.dump_traceback()
    os._exit(1)

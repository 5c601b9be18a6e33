"""One rank of a case: `python rank.py CASE RANK STORE SECONDS`; run by `running.py`.

Each line of its output is a side and what this rank says of it.  A rank that is not done with a
side after so many seconds ends with a traceback of where it waits.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import traceback
from datetime import timedelta
from typing import NoReturn

import torch
from case import SIDES
from cases import CASES
from torch import distributed as dist


def main(name: str, rank: int, store: str, seconds: float) -> NoReturn:
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
        faulthandler.dump_traceback_later(seconds, exit=True)
        said = getattr(kind(), side)()
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps([side, said]), flush=True)
        dist.barrier()  # a rank that raised waits here for the others, until they are stopped
    dist.barrier()
    os._exit(0)  # gloo's threads sometimes abort a process that is taken down


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
    except BaseException:  # noqa: BLE001 - it is said, and the process ends at once
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)

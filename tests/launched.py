"""Programs of two ranks that torchrun starts, as users of frameworks start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

BEGINNING = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
folder, rank = sys.argv[1], int(os.environ["RANK"])
"""

# Gloo's threads sometimes abort a process that is taken down; so it is not taken down.
END = """
with open(f"{folder}/{rank}.json", "w") as file:
    json.dump(result, file)
torch.distributed.barrier()
os._exit(0)
"""


def two_ranks(program: str, folder: Path, *options: object, seconds: float = 100) -> list[Any]:
    """What the program leaves in ``result`` on each rank; ``sys.argv[2:]`` are the options.

    It ends within ``seconds``, or all its processes are ended.
    """
    file = folder / "program.py"
    file.write_text(BEGINNING + program + END, encoding="utf-8")
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    launcher = subprocess.Popen(
        [*run, str(file), str(folder), *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=here,
    )
    try:
        said, _ = launcher.communicate(timeout=seconds)
    finally:
        if launcher.poll() is None:
            launcher.terminate()  # which ends the ranks too
            launcher.communicate(timeout=30)
    assert launcher.returncode == 0, said
    return [json.loads((folder / f"{rank}.json").read_text("utf-8")) for rank in range(2)]

"""The example of FSDP2 loses its run without a guard, and with one skips a step on all ranks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "fsdp2_training.py"
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(150)]


def said(*options):
    ended = subprocess.run(
        [sys.executable, *LAUNCH, EXAMPLE, "--steps", "40", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_one_step_is_skipped_on_all_ranks_and_the_training_ends_well():
    out = said()

    assert re.findall(r"^step (\d+): .*, on rank 0, 1, skipped$", out, re.MULTILINE) == ["20"]
    first, last, lost = re.search(
        r"loss (\S+) -> (\S+); (\d+) of \d+ parameters lost", out
    ).groups()
    assert float(last) < float(first) - 2.0
    assert lost == "0"


def test_with_torch_alone_every_parameter_is_lost():
    lost, total = re.search(r"-> nan; (\d+) of (\d+) parameters lost", said("--torch")).groups()

    assert lost == total

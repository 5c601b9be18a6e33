"""Steps on a device, tried out on one in software, in a process of its own: torch has only one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


SUITE = (
    *(f"tests/test_{name}.py" for name in ("guard", "skip", "repair", "report")),
    *("tests/strategies", "tests/nonfinite"),
)
"""What `benchmarks/on_gpu.py` runs on a GPU as well."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tests", [("tests/on_device",), SUITE], ids=["steps", "suite"])
def test_steps_on_a_device_wait_where_they_may_and_say_what_they_did(tests):
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler to build the device with")
    command = (sys.executable, "-m", "pytest", "-q", "--device", "software")
    done = subprocess.run(
        [*command, "--hypothesis-profile=few", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]

"""Steps on a device, tried out on one in software, in a process of its own: torch has only one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(600)
def test_steps_on_a_device_wait_where_they_may_and_say_what_they_did():
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler to build the device with")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--device", "software", "tests/on_device"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]

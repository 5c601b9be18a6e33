"""Tests that need a GPU: skipped, with the reason, where torch sees none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for device.py and emulator.py: tests are not a package


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is in this folder."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="torch.cuda.is_available() is False: no GPU, or a CPU build")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(skip)

"""Steps on a device: ``pytest --device cuda tests/on_device``, or ``--device software``.

`test_on_device.py` runs them on the device in software as part of the suite.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for stepping.py: tests are not a package


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """There is nothing here for the CPU."""
    if config.getoption("--device") == "cpu":
        here = [item for item in items if Path(__file__).parent in item.path.parents]
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if item not in here]


@pytest.fixture
def waits(device):
    """A context in which the host waits for the device as often as it is told, and no more."""
    return count_waits if device.type == "software" else forbid_waits


@contextlib.contextmanager
def count_waits(times: int) -> Iterator[None]:
    """Of the device in software, which writes everything down."""
    import software  # noqa: PLC0415 - only where there is such a device

    software.waits()
    yield
    assert software.waits() == ["an event"] * times


@contextlib.contextmanager
def forbid_waits(times: int) -> Iterator[None]:
    """Of a GPU: torch raises at everything but events, which gradcore waits for at most once."""
    assert times in {0, 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mode is a prototype, it says
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

"""What every test of the suite shares: Hypothesis profiles, a seed and the number of threads."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

hypothesis.settings.register_profile(
    "default",
    deadline=None,
    max_examples=50,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "ci", hypothesis.settings.get_profile("default"), derandomize=True, database=None
)
hypothesis.settings.register_profile(  # on a device, where every operator takes longer
    "few", hypothesis.settings.get_profile("ci"), max_examples=10
)
hypothesis.settings.register_profile(  # where it matters only that something fails
    "unshrunk", hypothesis.settings.get_profile("ci"), phases=[hypothesis.Phase.generate]
)
hypothesis.settings.register_profile(
    "thorough", hypothesis.settings.get_profile("default"), max_examples=2000
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--device cuda`` runs the suite with everything that torch makes on that device."""
    parser.addoption("--device", default="cpu", help="cpu, cuda, or software: a device without one")


def pytest_configure(config: pytest.Config) -> None:
    """Let tests use complex32, of which torch warns at the first touch, and choose the device."""
    config.addinivalue_line("filterwarnings", "ignore:ComplexHalf support is experimental")
    if config.getoption("--device") == "software":
        sys.path.insert(0, str(Path(__file__).parent / "on_device"))
        import software  # noqa: PLC0415 - it changes what torch is in this process

        software.install()


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """What ``--device`` names."""
    return torch.device(request.config.getoption("--device"))


@pytest.fixture(autouse=True)
def _on_the_device(device: torch.device) -> Iterator[None]:
    """Whatever a test makes without a word about devices is made there."""
    if device.type == "cpu":
        yield
        return
    with device:
        yield


@pytest.fixture
def threads() -> Iterator[object]:
    """`torch.set_num_threads`, undone at the end of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)

"""What tests of examples share: a way to import one, as running it would."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import importing


@pytest.fixture
def example(monkeypatch):
    """Import an example by name."""
    yield from importing(Path(__file__).parents[2] / "examples", monkeypatch)

"""Packages with plugins for tests: a module and its metadata in a folder on ``sys.path``."""

from __future__ import annotations

import itertools
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pytest

STRATEGY = """
from gradcore import Keep, hookimpl

class Offered:
    '''Do nothing to gradients.'''
    name = {name!r}
    def __call__(self, statistics):
        return Keep()

@hookimpl
def gradcore_clip_strategies():
    return [Offered]
"""
"""A complete plugin; the name of its strategy is to be filled in."""

_numbers = itertools.count()


class Install(Protocol):
    """Puts a package of one module where it is found like an installed one."""

    def __call__(
        self, distribution: str, source: str, *, entry: str = ..., version: str = ...
    ) -> str: ...


def installer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`Install` into a folder that is on ``sys.path`` until the test ends."""
    monkeypatch.syspath_prepend(folder)

    def install(
        distribution: str, source: str, *, entry: str = "some_plugin", version: str = "1.0"
    ) -> str:
        # A fresh name each time: Python keeps the modules of earlier tests.
        module = f"test_package_{next(_numbers)}"
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
        metadata = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        (metadata / "entry_points.txt").write_text(f"[gradcore]\n{entry} = {module}\n")
        return module

    return install

"""The reference leaves no public name out."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import gradcore

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
SHOWN = {
    name
    for page in REFERENCE.glob("*.md")
    for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
}
MODULES = ("checks", "monitors", "nonfinite", "numerics", "plots", "sinks", "strategies", "testing")


def test_every_name_of_the_package_has_a_place():
    names = [name for name in gradcore.__all__ if not isinstance(vars(gradcore)[name], ModuleType)]

    assert [name for name in names if f"gradcore.{name}" not in SHOWN] == []


@pytest.mark.parametrize("module", MODULES)
def test_every_public_module_is_shown_as_a_whole(module):
    assert importlib.import_module(f"gradcore.{module}").__all__
    assert f"gradcore.{module}" in SHOWN


def test_what_is_shown_exists():
    for name in SHOWN - {"gradcore_strategies"}:
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


def test_the_methods_of_a_guard_that_are_shown_are_all_that_users_call():
    """The page lists them; what is left out is for the package itself."""
    page = (REFERENCE / "guard.md").read_text(encoding="utf-8")
    listed = re.search(r"members: \[(.*)\]", page)[1].split(", ")

    public = {name for name, _ in inspect.getmembers(gradcore.Guard) if not name.startswith("_")}

    assert public - set(listed) == {"finish"}

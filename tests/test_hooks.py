"""The hooks are few, documented for authors, and cost nothing to import."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import gradcore
from gradcore import hooks
from gradcore.discovery import HOOKS

GUIDE = Path(__file__).parents[1] / "plugins" / "README.md"

SPECIFIED = sorted(name for name in vars(hooks) if name.startswith("gradcore_"))


def signature_of(name):
    return f"{name}({', '.join(inspect.signature(getattr(hooks, name)).parameters)})"


def test_every_kind_has_one_hook():
    assert sorted(HOOKS.values()) == SPECIFIED


def test_the_guide_has_a_section_for_every_hook_and_for_no_other():
    headings = re.findall(r"^### `(gradcore_\w+\(.*\))`$", GUIDE.read_text(), re.MULTILINE)

    assert sorted(headings) == sorted(map(signature_of, SPECIFIED))


@pytest.mark.parametrize("name", SPECIFIED)
def test_every_hook_says_what_it_returns_and_shows_an_example(name):
    words = inspect.getdoc(getattr(hooks, name))

    assert "Returns:" in words
    assert f"def {name}():" in words


def test_the_mark_for_plugins_is_public():
    assert gradcore.hookimpl is hooks.hookimpl
    assert hooks.hookimpl.project_name == "gradcore"


def test_at_run_time_hooks_import_pluggy_and_nothing_else():
    tree = ast.parse(Path(hooks.__file__).read_text())
    imported = set()
    for statement in tree.body:  # not those under `if TYPE_CHECKING`
        if isinstance(statement, ast.Import):
            imported |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            imported.add(statement.module)

    assert imported == {"__future__", "typing", "pluggy"}

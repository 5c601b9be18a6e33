"""The pages are true: their examples run, print what is shown, and their links lead somewhere."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from gradcore.cli import MISUSED, main

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def blocks(page: Path) -> list[tuple[str, str]]:
    """Languages and contents of fenced blocks."""
    found: list[tuple[str, str]] = re.findall(
        r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return found


def is_script(language: str, code: str) -> bool:
    """Whether it is Python that is run as a whole, and no session of a prompt."""
    return language == "python" and ">>> " not in code


WITH_SCRIPTS = [page for page in PAGES if any(is_script(*block) for block in blocks(page))]


@pytest.mark.parametrize("page", WITH_SCRIPTS, ids=lambda page: page.stem)
def test_the_scripts_and_commands_run_in_order_and_print_the_text_that_follows(
    page, tmp_path, monkeypatch, threads
):
    # The gradient of a bias in front of a softmax is nothing but rounding error, which Adam makes
    # a step of: on docs/debugging.md that shows by how many threads the sums were taken.
    threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "plugins" / "gradcore-strategies" / "src")
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for (language, code), (following, shown) in pairwise([*blocks(page), ("", "")]):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if is_script(language, code):
                exec(code, names)  # noqa: S102 - it is our page
            elif language in {"sh", "shell"}:
                carry_out(code)
            else:
                continue
        if following == "text" or language == "python":
            assert printed.getvalue() == (shown if following == "text" else "")


def carry_out(code: str) -> None:
    """Run the lines of a shell that are gradcore's, which must be able to begin."""
    for line in code.splitlines():
        if line.startswith("gradcore "):
            assert main(shlex.split(line, comments=True)[1:]) < MISUSED, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_sessions_run_and_print_what_is_shown(page):
    torch.manual_seed(0)

    assert doctest.testfile(str(page), module_relative=False, encoding="utf-8").failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8"))

    assert [target for target in targets if not (page.parent / target).exists()] == []

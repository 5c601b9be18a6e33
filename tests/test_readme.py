"""The README is true: its code runs, its output comes out, its commands stand where CI looks."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from gradcore.cli.demo.show import ROWS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_examples_run_and_print_what_is_shown():
    """In order, in one namespace; a text block right after a script is what it prints."""
    torch.manual_seed(0)
    names = {}
    checked = 0
    for (language, code), (following, shown) in pairwise([*BLOCKS, ("", "")]):
        if language != "python":
            continue
        if code.startswith(">>>"):
            session = doctest.DocTestParser().get_doctest(code, names, "README", "README.md", 0)
            result = doctest.DocTestRunner().run(session, clear_globs=False)
            assert result.failed == 0
            names.update(session.globs)
        else:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, names)  # noqa: S102 - it is our README
            assert following == "text"
            assert printed.getvalue() == shown
        checked += 1
    assert checked >= 3


def test_the_warning_shown_is_the_one_that_is_logged(caplog):
    model = torch.nn.Linear(2, 1)
    names = {"torch": torch, "model": model}
    script = next(code for language, code in BLOCKS if language == "python" and "safe_step" in code)

    with contextlib.redirect_stdout(io.StringIO()):
        exec(script, names)  # noqa: S102

    assert f"```text\n{caplog.messages[0]}\n```" in README


def test_the_demos_table_has_the_rows_that_the_demo_prints():
    table = next(text for language, text in BLOCKS if language == "text" and "undisturbed" in text)

    titles = [line[1:38].rstrip() for line in table.splitlines()[2:]]

    assert titles == [title for title, _ in ROWS]


@pytest.mark.parametrize(
    ("marker", "command"),
    [("run", "pip install . && gradcore demo"), ("test", "pip install '.[test]' && pytest")],
)
def test_a_set_up_command_is_the_first_block_below_its_marker(marker, command):
    before, marked, after = README.partition(f"<!-- {marker} -->")

    assert marked
    assert f"<!-- {marker} -->" not in before + after
    assert README.count(f"```sh\n{command}\n```") == 1
    assert (
        re.search(r"^```.*?^```$", after, re.MULTILINE | re.DOTALL)[0] == f"```sh\n{command}\n```"
    )


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)

    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_it_is_short():
    assert len(README.splitlines()) < 150

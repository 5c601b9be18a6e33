"""The table of hard cases names tests that are there, and cases that torch gets wrong."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from scripts import importing

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "hard_cases.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| case |")
]
COMPARED = ROOT / "docs" / "torch_compared.md"


@pytest.fixture
def cases(monkeypatch):
    """Of the script that runs torch and gradcore side by side, by name."""
    for module in importing(ROOT / "examples" / "torch_compared", monkeypatch):
        yield module("cases").CASES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_every_test_that_is_named_is_there(row):
    *_, tests = row
    named = re.findall(r"\[([^\]]+)\]\(\.\./(tests/\S+?\.py)\)", tests)
    assert named
    for words, path in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        assert f"test_{words.replace(' ', '_')}" in functions


def test_every_case_in_brackets_is_run_side_by_side_and_right_where_it_is_said(cases):
    page = COMPARED.read_text(encoding="utf-8")
    named = [(row, name) for row in ROWS for name in re.findall(r"`([A-Z]\w+)`", row[1])]
    named = [(row, name) for row, name in named if not name.endswith("Error")]
    assert {name for _, name in named} <= {*cases}
    for row, name in named:
        (line,) = re.findall(rf"^\| {re.escape(cases[name].title())} \|.*$", page, re.MULTILINE)
        assert ("**right**" in line) == (f"right (`{name}`)" in row[1])


def test_every_case_of_many_ranks_that_torch_gets_wrong_is_among_them(cases):
    named = set(re.findall(r"`([A-Z]\w+)`", " ".join(row[1] for row in ROWS)))

    assert {n for n, case in cases.items() if case.ranks > 1} - named == {"OneMesh", "NotUnscaled"}

"""The page that compares with torch says what its script finds, and gradcore is right in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from scripts import importing

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "torch_compared"
PAGE = ROOT / "docs" / "torch_compared.md"
pytestmark = pytest.mark.distributed
NUMBER = re.compile(r"\d+\.?\d*(?:e[+-]?\d+)?")

OF_ONE = ("Huge", "Tiny", "HalfPrecision", "LargestOfBrain", "BrainFloat", "Long", "FiniteRefused")
OF_ONE += ("HugeDouble", "Twice", "Sparse", "OneNan", "OneInfinity")
OF_RANKS = ("Sharded", "Hybrid", "EmptyShards", "MaximumNorm", "MaximumNormOfNan")
OF_RANKS += ("PlainAmongShards", "TwoMeshes", "OneBadReplica", "OtherBound", "Stages", "OneMesh")
OF_RANKS += ("FirstReplicated", "FirstOfPart", "TwoBadRanks", "NotUnscaled", "FlagsSummed")
OF_RANKS += ("HugeParts", "Partials")


@pytest.fixture
def script(monkeypatch):
    """Import a module of the script."""
    yield from importing(FOLDER, monkeypatch)


def rows_of_page() -> dict[str, list[str]]:
    rows = re.findall(r"^\| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [row.split(" | ") for row in rows]
    return {title: rest for title, *rest in cells if title != "what is done"}


def same(said: str, shown: str) -> bool:
    """In words, and in numbers to 2 %: torch's errors depend on how wide the processor's are."""
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (said, shown)]
    words = [NUMBER.sub("", text) for text in (said, shown)]
    return words[0] == words[1] and numbers[0] == pytest.approx(numbers[1], rel=0.02)


SECONDS = 20
"""Longer than the page has waited: other work may keep this machine busy."""


@pytest.mark.timeout(250)
@pytest.mark.parametrize("name", OF_ONE + OF_RANKS)
def test_gradcore_is_right_and_torch_as_the_page_says(script, name):
    case = script("cases").CASES[name]
    told = script("running").run(case, SECONDS)

    torch_says, gradcore_says, should_be = rows_of_page()[case.title()]
    assert not told.wrong
    assert same(told.gradcore, gradcore_says)
    assert same(told.reference, should_be)
    if f"torch {torch.__version__.partition('+')[0]} " in PAGE.read_text(encoding="utf-8"):
        says = told.row.split(" | ")[1].replace(f"after {SECONDS} s", "after 10 s")
        assert same(says, torch_says)
        assert ("**right**" in says) == (told.torch == told.reference)


def test_the_page_shows_every_case_and_gradcore_right_in_all(script):
    cases, rows = script("cases").CASES, rows_of_page()

    assert {*OF_ONE} == {name for name, case in cases.items() if case.ranks == 1}
    assert {*OF_RANKS} == {name for name, case in cases.items() if case.ranks > 1}
    assert {case.title() for case in cases.values()} == {*rows}
    assert [title for title, (_, ours, should_be) in rows.items() if ours != should_be] == []

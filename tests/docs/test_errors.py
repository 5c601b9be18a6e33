"""docs/errors.md shows every error that gradcore has words for, as it is raised today."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gradcore
import provoking

ROOT = Path(gradcore.__file__).parent
ELSEWHERE = ("cli/", "distributed/", "integrations/", "testing/")
"""What the page says that it leaves out."""

UNREACHED = {
    "awaited.py": "of a report on its way from a device, asked for what no report has",
    "loading.py": "raised while gradcore is imported: tests/test_build.py",
    "statistics.py": "of a statistic that no attribute asks for: a slip of our own",
}


@pytest.fixture(scope="module")
def sections():
    return provoking.sections()


def test_the_page_is_what_is_said_today(sections):
    """`python tests/provoking.py` writes it."""
    assert provoking.PAGE.read_text(encoding="utf-8") == provoking.page_of(sections)


def test_every_provocation_has_words(sections):
    assert [each.code for section in sections for each in section.pieces if not each.words] == []


def test_every_error_of_the_package_is_provoked(sections):
    hit = {site for section in sections for each in section.pieces for site in each.sites}
    page = " ".join(each.words for section in sections for each in section.pieces)

    missed = [
        f"{name}:{node.lineno}"
        for path in sorted(ROOT.rglob("*.py"))
        if not (name := path.relative_to(ROOT).as_posix()).startswith(ELSEWHERE)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and node.exc is not None
        if not any((str(path), line) in hit for line in range(node.lineno, node.end_lineno + 1))
        # A registry raises what it kept anew, so the first place of it is known by its words.
        if longest_words(node) not in page
    ]

    assert {site.partition(":")[0] for site in missed} == UNREACHED.keys(), missed


def longest_words(node: ast.Raise) -> str:
    """The longest piece of text in a raise statement; none where another function words it."""
    texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return max((text for text in texts if isinstance(text, str)), key=len, default="")


def test_every_error_is_one_of_ours_or_says_what_to_look_at(sections):
    """A sentence or several, and never a bare name."""
    for section in sections:
        for each in section.pieces:
            assert len(each.words.split()) >= 5, each.words

"""docs/errors.md shows every error that gradcore has words for, as it is raised today."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import gradcore
import provoking

ROOT = Path(gradcore.__file__).parent
UNREACHED = {
    "awaited.py": (4, "of a report on its way from a device, or captured in a graph of CUDA"),
    "binding.py": (1, "of a graph of CUDA: tests/on_device/test_graphs.py"),
    "capturing.py": (2, "of a graph of CUDA"),
    "cli/demo/faults.py": (1, "planted by our own loop after its backward pass"),
    "cli/demo/text.py": (1, "of a Python that does not ship its library"),
    "cli/report/reading.py": (1, "of a log that gets shorter between two reads"),
    "distributed/job.py": (1, "of options that differ and read alike"),
    "distributed/shards.py": (1, "torch refuses such a gradient itself, when it is given"),
    "loading.py": (3, "raised while gradcore is imported: tests/test_build.py"),
    "sending.py": (1, "of a graph of CUDA"),
    "statistics.py": (1, "of a statistic that no attribute asks for: a slip of our own"),
    "testing/policy.py": (1, "of a policy that fails in a guard alone"),
    "testing/strategy.py": (1, "of a strategy that fails in a guard alone"),
}
"""Errors of a file that are not provoked: how many, and why."""


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

    missed = Counter(
        f"{path.relative_to(ROOT).as_posix()}"
        for path in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and node.exc is not None
        if not any((str(path), line) in hit for line in range(node.lineno, node.end_lineno + 1))
        # A registry raises what it kept anew, so the first place of it is known by its words.
        if longest_words(node) not in page
    )

    assert missed == {file: count for file, (count, _) in UNREACHED.items()}


def longest_words(node: ast.Raise) -> str:
    """The longest piece of text in a raise statement; none where another function words it."""
    texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return max((text for text in texts if isinstance(text, str)), key=len, default="")


def test_every_error_is_one_of_ours_or_says_what_to_look_at(sections):
    """A sentence or several, and never a bare name."""
    for section in sections:
        for each in section.pieces:
            assert len(each.words.split()) >= 5, each.words

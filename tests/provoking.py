"""Provokes every error that gradcore has words for, and makes a page of what it says.

    python tests/provoking.py       # writes docs/errors.md

``tests/docs/errors/*.txt`` hold the provocations: a title, a few words, and pieces of code with a
blank line between them.  Each piece is run by itself, after `provided.PRELUDE`, in an empty folder;
those of files whose name ends in ``ranks`` are run by two processes that talk to each other.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

from provoked import Said, provoke
from provoked_ranks import provoke_together

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"
SOURCES = ROOT / "tests" / "docs" / "errors"
WIDTH = 78

INTRODUCTION = """# Every error and what it says

What gradcore says when something is wrong: what it was, with the value; where; what to do. Look up
the message that you have with your browser's search.

All of these were raised by the code above them, which a test runs; this page is what came out.
There, `model` is two linear layers, `optimizer` holds their named parameters, `guard` is
`gradcore.Guard(model)`, and a backward pass has left finite gradients. `answering(verb)` is a
strategy or a policy that always answers with that verb, `log(...)` reads the log of a run with that
line, or a step with those fields, in it, and `install(name, source)` installs a plugin.
`offered(call, ...)` is a class that a plugin could offer.
"""


@dataclass
class Section:
    """One file of provocations."""

    title: str
    words: str
    pieces: list[Said]


def sections() -> list[Section]:
    """All files, everything in them provoked."""
    return [_read(path) for path in sorted(SOURCES.glob("*.txt"))]


def _read(path: Path) -> Section:
    title, *paragraphs = path.read_text(encoding="utf-8").strip().split("\n\n")
    words = [each for each in paragraphs if each.startswith("> ")]
    codes = [each for each in paragraphs if not each.startswith("> ")]
    plain = "\n".join(each.replace("> ", "", 1).replace("\n> ", "\n") for each in words)
    together = path.stem.endswith("ranks")
    pieces = provoke_together(codes) if together else [provoke(code) for code in codes]
    return Section(title, plain, pieces)


def page() -> str:
    """The page as it should be."""
    return page_of(sections())


def page_of(read: list[Section]) -> str:
    """The same, of what was provoked already."""
    parts = [INTRODUCTION]
    for section in read:
        parts.append(
            f"## {section.title}\n\n{section.words}\n" if section.words else f"## {section.title}\n"
        )
        parts.extend(
            f"```{each.language}\n{each.code}\n```\n\n```text\n{_wrapped(each.words)}\n```\n"
            for each in section.pieces
        )
    return "\n".join(parts)


def _wrapped(words: str) -> str:
    lines = (textwrap.wrap(line, WIDTH, break_long_words=False) for line in words.splitlines())
    return "\n".join("\n".join(line) for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

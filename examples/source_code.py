"""The task of `non_hermitian.py`: characters of Python source code, and the kind of each."""

from __future__ import annotations

import io
import keyword
import sysconfig
import tokenize
from pathlib import Path

import torch
from torch import Tensor

KINDS = ("blank", "name", "keyword", "number", "string", "comment", "operator")
OF_TOKEN = {"op": "operator", "number": "number", "string": "string", "comment": "comment"}
FILES = 40
HELD_OUT = 5
LONGEST = 50_000


def kinds_of(source: str) -> list[int]:
    """Name the kind of every character, as Python's own tokenizer sees it."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    kinds = [0] * len(source)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = tokenize.tok_name[token.type].lower()
        if name == "name":
            kind = "keyword" if keyword.iskeyword(token.string) else "name"
        else:  # the parts of an f-string are tokens of their own from Python 3.12 on
            kind = "string" if name.startswith("fstring") else OF_TOKEN.get(name, "blank")
        begin = starts[token.start[0] - 1] + token.start[1]
        kinds[begin : begin + len(token.string)] = [KINDS.index(kind)] * len(token.string)
    return kinds[: len(source)]


def read_library() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Read the first files of the standard library, a few of them to be held out.

    Returns:
        Characters and kinds to train on, and those held out: int64, 1-d.
    """
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    sources = (path.read_text(encoding="utf-8") for path in paths if path.stat().st_size < LONGEST)
    chosen = [source for source in sources if source.isascii()][:FILES]
    return _labelled(chosen[HELD_OUT:]), _labelled(chosen[:HELD_OUT])


def _labelled(sources: list[str]) -> tuple[Tensor, Tensor]:
    kinds = [kind for source in sources for kind in kinds_of(source)]
    return torch.tensor(list("".join(sources).encode("ascii"))), torch.tensor(kinds)


def guess_by_character(training: tuple[Tensor, Tensor], text: Tensor) -> Tensor:
    """Guess the commonest kind of each character: what can be done without its surroundings."""
    counts = torch.zeros(128, len(KINDS))
    counts.index_put_(training, torch.ones(len(training[0])), accumulate=True)
    return counts.argmax(1)[text]

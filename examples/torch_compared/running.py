"""Runs a case, in this process or in as many as it has ranks, and tells what each side said."""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from case import SIDES, Case
from rank import main

FORKED: Final = multiprocessing.get_context("forkserver")
"""Starts ranks, from a process that has imported torch: most cases take less time than that."""
FORKED.set_forkserver_preload(
    ["torch._dynamo", "torch.distributed.tensor.parallel", "torch.distributed.fsdp", "gradcore"]
)

SECONDS: Final = 10
"""After so long a rank is taken to hang."""

START: Final = 300
"""Seconds until processes are up and done; no case is meant to take as long."""


@dataclass(frozen=True)
class Told:
    """What came of a case."""

    title: str
    torch: str
    gradcore: str
    reference: str

    @property
    def wrong(self) -> bool:
        """Whether gradcore is."""
        return self.gradcore != self.reference

    @property
    def row(self) -> str:
        """Of a Markdown table."""
        torch = f"{self.torch}: **right**" if self.torch == self.reference else self.torch
        return f"| {self.title} | {torch} | {self.gradcore} | {self.reference} |"


def run(case: type[Case], seconds: float = SECONDS) -> Told:
    """Do it.

    Raises:
        RuntimeError: A rank broke down.
    """
    if case.ranks == 1:
        return Told(case.title(), **{side: getattr(case(), side)() for side in SIDES})
    said = by_rank(case, seconds)
    return Told(
        case.title(),
        **{side: in_words([rank.get(side) for rank in said], seconds) for side in SIDES},
    )


def by_rank(case: type[Case], seconds: float) -> list[dict[str, str]]:
    """What each rank said, by side; a side on which it hung is not there."""
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            FORKED.Process(target=main, args=(case.__name__, rank, Path(folder), seconds))
            for rank in range(case.ranks)
        ]
        try:
            for rank in ranks:
                rank.start()
            for rank in ranks:
                rank.join(START)
        finally:
            for rank in ranks:
                rank.kill()
        said, errors = (
            [Path(folder, f"{i}.{kind}").read_text("utf-8") for i in range(case.ranks)]
            for kind in ("out", "err")
        )
    # Where one rank is stopped the connection of the others breaks.
    hung = any("Timeout (" in each for each in errors)
    for rank, each in zip(ranks, errors, strict=True):
        if rank.exitcode and not hung:
            raise RuntimeError(f"A rank of {case.__name__} broke down:\n{each}")
    return [dict(map(json.loads, each.splitlines())) for each in said]


def in_words(said: Sequence[str | None], seconds: float) -> str:
    """What ranks said, once if they said the same."""
    words = [f"hangs (stopped after {seconds:g} s)" if each is None else each for each in said]
    if len(set(words)) == 1:
        return words[0]
    ranks: dict[str, list[int]] = {}
    for rank, each in enumerate(words):
        ranks.setdefault(each, []).append(rank)
    return "; ".join(
        f"rank{'s' * (len(who) > 1)} {', '.join(map(str, who))}: {each}"
        for each, who in ranks.items()
    )

"""What deciding together costs at 8, 1,000 and 100,000 ranks, worked out from the code itself.

Lengths are those of the vectors that `gradcore.distributed` packs; times are of the usual model of
a collective, not measured.  ``--write docs/scaling.md`` puts the tables on that page.

    python benchmarks/scaling.py [--write PAGE] [--host]

``--host`` measures what a processor does with the vector before and after the collective.
"""

from __future__ import annotations

import argparse
import math
import pickle
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from gradcore.distributed import head
from gradcore.distributed.layout import Layout
from gradcore.distributed.ownership import Held, resolve
from gradcore.distributed.vector import Vector
from gradcore.statistics import ROWS, Statistics

RANKS = (8, 1_000, 100_000)
PARAMETERS = 291
"""As Llama 2 7B has: nine in each of 32 layers, and three."""

ELEMENTS = 6_738_415_616
"""Of the same model."""

UNITS = 32 * (4 * 4096 + 2 * 11008 + 4096) + 2 * 32000
"""Rows of the weights of the same model, each whole on one rank; 65 gains lie on several each."""

NUMBER = 8
"""Bytes of a float64."""

LATENCY, BANDWIDTH = 10e-6, 25e9
"""Assumed of a message between two ranks: seconds, and bytes a second (200 Gb/s)."""

NODE = 8
"""Ranks that share a machine."""


def head_bytes(ranks: int) -> int:
    """What ranks say of themselves, and the loss."""
    return NUMBER * head.length(ranks)


def body_bytes(ranks: int, needs: Iterable[str] = ()) -> int:
    """Counts and squares of every parameter, and what strategies and reports want besides."""
    return NUMBER * Layout(needs, PARAMETERS, 0, ranks, 2.0).length


def held_by(rank: int) -> list[Held]:
    """What a rank tells the others of its parameters in the first step."""
    place, shape, dtype = (("shard", rank),), (4096, 4096), "torch.bfloat16"
    return [
        (f"model.layers.{i // 9}.self_attn.{i % 9}_proj.weight", place, shape, dtype)
        for i in range(PARAMETERS)
    ]


def first_step_bytes(ranks: int) -> int:
    """What a rank receives once: names, places and shapes from every rank."""
    return ranks * len(pickle.dumps(held_by(ranks - 1)))


def tree(size: float, ranks: int) -> float:
    """Seconds: halving and doubling, 2 log2 W messages (Thakur, Rabenseifner and Gropp, 2005)."""
    return 2 * math.ceil(math.log2(ranks)) * LATENCY + moved(size, ranks) / BANDWIDTH


def ring(size: float, ranks: int) -> float:
    """Seconds: round the ring twice, 2 (W - 1) messages (the same paper)."""
    return 2 * (ranks - 1) * LATENCY + moved(size, ranks) / BANDWIDTH


def moved(size: float, ranks: int) -> float:
    """Bytes that each rank sends in an all-reduce of so many."""
    return 2 * (ranks - 1) / ranks * size


def grouped_bytes(ranks: int) -> int:
    """A slot for each of the root of W groups of ranks, and for each rank of this one's group."""
    groups = math.ceil(math.sqrt(ranks))
    return head_bytes(groups) + head_bytes(math.ceil(ranks / groups))


def error(summands: int) -> float:
    """Relative error of a sum of so many numbers >= 0 in any order, each rounding 2^-53 at most."""
    return (summands - 1) * 2.0**-53


def size_of(count: float) -> str:
    """Bytes in words."""
    for unit, large in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= large:
            return f"{count / large:.3g} {unit}"
    return f"{count:.0f} B"


def time_of(seconds: float) -> str:
    """Seconds in words."""
    for unit, large in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= large:
            return f"{seconds / large:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def table(first: str, rows: dict[str, list[str]]) -> str:
    """Of Markdown, a column for each number of ranks."""
    lines = [f"| {first} | {' | '.join(f'{ranks:,}' for ranks in RANKS)} |", "|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    return "\n".join(lines)


def tables() -> dict[str, str]:
    """All tables by name."""
    whole = {ranks: head_bytes(ranks) + body_bytes(ranks) for ranks in RANKS}
    largest = {ranks: body_bytes(ranks, ["max_abs"]) - body_bytes(ranks) for ranks in RANKS}
    training = [3 * 2 * ELEMENTS * (1 - 1 / ranks) for ranks in RANKS]
    sizes = {
        "ranks of themselves, and the loss": [size_of(head_bytes(r)) for r in RANKS],
        "counts and squares of each parameter": [size_of(body_bytes(r)) for r in RANKS],
        "together": [size_of(whole[r]) for r in RANKS],
        "of what FSDP2 moves in a step, bfloat16": [
            f"{moved(whole[r], r) / t:.1g}" for r, t in zip(RANKS, training, strict=True)
        ],
        "besides, if `max_abs` or `lp` is wanted": [size_of(largest[r]) for r in RANKS],
        "besides, if norms of units of both are wanted": [
            size_of(NUMBER * 2 * (UNITS + 3 * 65)) for _ in RANKS
        ],
        "once, in the first step: received": [size_of(first_step_bytes(r)) for r in RANKS],
    }
    times = {
        "tree": [time_of(tree(whole[r], r)) for r in RANKS],
        "ring": [time_of(ring(whole[r], r)) for r in RANKS],
        "tree, with `max_abs`": [time_of(tree(whole[r] + largest[r], r)) for r in RANKS],
        "first step: what is received, without latency": [
            time_of(first_step_bytes(r) / BANDWIDTH) for r in RANKS
        ],
    }
    maximum = NUMBER * (PARAMETERS + 1)
    grouped = {
        "slots of groups: the head": [size_of(grouped_bytes(r)) for r in RANKS],
        "slots of machines: the head": [size_of(head_bytes(-(-r // NODE))) for r in RANKS],
        "`max_abs` by a MAX all-reduce of its own": [size_of(maximum)] * len(RANKS),
        "tree, groups, and that MAX": [
            time_of(tree(grouped_bytes(r) + body_bytes(r), r) + tree(maximum, r)) for r in RANKS
        ],
    }
    errors = {
        "sum, any order": [f"{error(r):.1e}" for r in RANKS],
        "sum, a tree": [f"{error(1 + math.ceil(math.log2(r))):.1e}" for r in RANKS],
        "norm, any order": [f"{error(r) / 2:.1e}" for r in RANKS],
    }
    return {
        "sizes": table("a rank sends", sizes),
        "times": table("all-reduce", times),
        "groups": table("instead", grouped),
        "errors": table("relative error", errors),
    }


def written(page: str) -> str:
    """The page with these tables in place of those that it has."""
    for name, text in tables().items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page = place.sub(lambda match, t=text: f"{match[1]}{t}\n{match[2]}", page)
    return page


def host(ranks: int, first_step: int = 1_000) -> str:
    """Times of this machine, the least of five: a step, and once the first of so many ranks."""
    own = resolve([held_by(0)], 0)
    vector = Vector((), own, 0, ranks, 2.0)
    table = torch.ones(len(ROWS), PARAMETERS + 1, dtype=torch.float64)
    local = Statistics(table, torch.tensor(True))
    said = head.Said(digest=1, loss=torch.ones((), dtype=torch.float64))

    def step() -> None:
        sums = vector.pack(said, local)
        vector.head(sums)
        vector.unpack(sums, local)

    line = f"{ranks:,} ranks: {time_of(least(step))} a step"
    if ranks <= first_step:
        everyone = [held_by(rank) for rank in range(ranks)]
        line += f", {time_of(least(lambda: resolve(everyone, 0)))} in the first"
    return line


def least(work: Callable[[], object]) -> float:
    """Seconds of the fastest of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, metavar="PAGE")
    parser.add_argument("--host", action="store_true", help="measure too, on this machine")
    options = parser.parse_args()
    page = options.write
    print("\n\n".join(tables().values()))
    if options.host:
        print("\n" + "\n".join(map(host, RANKS)))
    if page is not None:
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Ranks that hold the same gradients, and whether these are the same numbers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from gradcore.distributed.squares import join, split
from gradcore.statistics import ROWS

if TYPE_CHECKING:
    from gradcore.distributed.head import Head
    from gradcore.distributed.ownership import Held
    from gradcore.statistics import Statistics

logger: logging.Logger = logging.getLogger("gradcore")

L2: Final = ROWS.index("l2")
LARGEST: Final = torch.finfo(torch.float64).max

TOLERANCE: Final = 1e-6
"""Of the joint norm, relative: copies that are one sum are the same bits, and others far apart."""

ROUNDINGS: Final = 8
"""Or so many units in the last place of a dtype that is coarser, for kernels that add in no fixed
order."""


class Replicas:
    """Copies that ranks hold of each other's gradients.

    Args:
        everyone: What each rank told.
        rank: This one.
    """

    def __init__(self, everyone: Sequence[Sequence[Held]], rank: int) -> None:
        counts: dict[tuple[str, object], int] = {}
        for held in everyone:
            for name, piece, *_ in held:
                counts[name, piece] = counts.get((name, piece), 0) + 1
        shared = [frozenset((n, p) for n, p, *_ in held if counts[n, p] > 1) for held in everyone]
        lowest: dict[frozenset[tuple[str, object]], int] = {}
        self._first = [lowest.setdefault(mine, number) for number, mine in enumerate(shared)]
        """Of each rank, the lowest one that shares the same."""
        self._copies = torch.tensor(
            [(n, p) in shared[rank] for n, p, *_ in everyone[rank]], dtype=torch.bool
        )
        self._any = any(shared)
        dtypes = {dtype for held in everyone for n, p, _, dtype in held if counts[n, p] > 1}
        coarsest = max((_step(dtype) for dtype in dtypes), default=0.0)
        self._tolerance = max(TOLERANCE, ROUNDINGS * coarsest)
        self._warned = False

    def norm(self, local: Statistics) -> Tensor | float:
        """Of what others hold too, 0-d and finite: what the rank tells them."""
        if not self._any:
            return 0.0
        norms = local.table[L2, :-1]
        squares = split(norms[self._copies.to(norms.device)]).sum(1)
        return join(squares[:, None])[0].clamp(max=LARGEST)

    def unlike(self, head: Head, step: int) -> str | None:
        """Ranks whose finite copies are not what the lowest rank with the same has, as "1, 3".

        The first step of several in a row that it is so is logged as a warning: where replicas are
        not averaged in every step they may differ, and it is the numbers of the lowest that count.
        """
        norms = head.norms
        pairs = [] if head.bad else [(r, f) for r, f in enumerate(self._first) if r != f]
        apart = [(r, f) for r, f in pairs if not self._close(norms[r], norms[f])]
        if apart and not self._warned:
            rank, first = apart[0]
            logger.warning(
                "Step %d: the gradients on rank %d have norm %.9g and those of the same parameters "
                "on rank %d have %.9g. The latter count. Replicas drift apart unless gradients, or "
                "parameters later, are averaged over ranks: look for a backward pass outside of "
                "DistributedDataParallel or a no_sync() too long.",
                *(step, rank, norms[rank], first, norms[first]),
            )
        self._warned = bool(apart)
        return ", ".join(str(rank) for rank, _ in apart) or None

    def _close(self, one: float, other: float) -> bool:
        return abs(one - other) <= self._tolerance * max(one, other)


def _step(dtype: str) -> float:
    """The relative distance of numbers of a dtype, told as ``"torch.bfloat16"``."""
    kind: torch.dtype = getattr(torch, dtype.split(".")[1])
    return torch.finfo(kind).eps if kind.is_floating_point or kind.is_complex else 0.0

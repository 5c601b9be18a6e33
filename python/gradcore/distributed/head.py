"""The head of the vector: what every rank says of itself, and the loss of all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

SLOT: Final = ("digest", "failed", "stale", "bad")
"""Numbers of one rank: of its configuration; it could not measure; its parameters changed; its
non-finite elements."""

LOSS: Final = ("sum", "given", "nan", "posinf", "neginf")


def length(ranks: int) -> int:
    """Numbers in the head."""
    return len(SLOT) * ranks + len(LOSS)


@dataclass(frozen=True, slots=True)
class Head:
    """What all ranks said."""

    digests: list[int]
    failed: list[bool]
    stale: bool
    bad: list[int]
    """Ranks that hold something that is not finite."""
    loss: float | None
    """The mean of what ranks gave, infinite or NaN if one of them is."""

    @classmethod
    def of(cls, sums: Tensor, ranks: int) -> Head:
        """From the sum of what `said` gave, on the host."""
        slots = sums[: len(SLOT) * ranks].reshape(ranks, len(SLOT)).tolist()
        total, given, nan, posinf, neginf = sums[len(SLOT) * ranks :].tolist()
        loss = total / given if given else None
        if nan or (posinf and neginf):
            loss = math.nan
        elif posinf or neginf:
            loss = math.inf if posinf else -math.inf
        return cls(
            digests=[int(digest) for digest, *_ in slots],
            failed=[bool(failed) for _, failed, *_ in slots],
            stale=any(stale for _, _, stale, _ in slots),
            bad=[rank for rank, (*_, bad) in enumerate(slots) if bad],
            loss=loss,
        )


def said(
    rank: int,
    ranks: int,
    *,
    digest: int,
    failed: bool,
    stale: bool,
    bad: Tensor,
    loss: Tensor | None,
) -> Tensor:
    """What this rank says: float64 ``[length(ranks)]``, finite numbers all."""
    head = bad.new_zeros(length(ranks))
    slot = head[rank * len(SLOT) : (rank + 1) * len(SLOT)]
    slot[:3] = torch.tensor([digest, failed, stale], dtype=torch.float64)
    slot[3] = bad
    if loss is not None:
        of_loss = head[-len(LOSS) :]
        of_loss[0] = loss.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        of_loss[1] = 1.0
        of_loss[2:] = torch.stack((loss.isnan(), loss == math.inf, loss == -math.inf))
        slot[3] += ~loss.isfinite()
    return head

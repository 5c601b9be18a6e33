"""The head of the vector: what every rank says of itself, and the loss of all."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

import torch
from torch import Tensor

LOSS: Final = ("sum", "given", "nan", "posinf", "neginf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one rank says of itself: finite numbers, but for the loss."""

    digest: int
    """Of its configuration."""
    failed: bool = False
    """It could not measure."""
    stale: bool = False
    """What ranks agreed on is no longer so."""
    due: int = 0
    """Whether it is to take a snapshot: a `Due`."""
    bad: Tensor | float = 0.0
    """Elements it holds that are not finite."""
    norm: Tensor | float = 0.0
    """Of what it holds that others hold too, finite."""
    loss: Tensor | None = None
    """0-d; not in the slot of the rank but added up."""


SLOT: Final = tuple(field.name for field in fields(Said))[:-1]
"""Numbers of one rank; ``bad`` and ``norm``, which may be on a device, are the last."""


@dataclass(frozen=True, slots=True)
class Head:
    """What all ranks said, in the order of ranks."""

    digests: list[int]
    failed: list[bool]
    stale: bool
    due: int
    """The largest."""
    bad: list[int]
    """Ranks that hold something that is not finite."""
    norms: list[float]
    """Of what each holds that others hold too."""
    loss: float | None
    """The mean of what ranks gave, infinite or NaN if one of them is."""

    @classmethod
    def of(cls, sums: Tensor, ranks: int) -> Head:
        """From the sum of what `packed` gave, on the host."""
        slots = sums[: len(SLOT) * ranks].reshape(ranks, len(SLOT))
        of = dict(zip(SLOT, slots.T.tolist(), strict=True))
        total, given, nan, posinf, neginf = sums[len(SLOT) * ranks :].tolist()
        loss = total / given if given else None
        if nan or (posinf and neginf):
            loss = math.nan
        elif posinf or neginf:
            loss = math.inf if posinf else -math.inf
        return cls(
            digests=[int(digest) for digest in of["digest"]],
            failed=list(map(bool, of["failed"])),
            stale=any(of["stale"]),
            due=int(max(of["due"])),
            bad=[rank for rank, bad in enumerate(of["bad"]) if bad],
            norms=of["norm"],
            loss=loss,
        )


def length(ranks: int) -> int:
    """Numbers in the head."""
    return len(SLOT) * ranks + len(LOSS)


def packed(said: Said, rank: int, ranks: int, device: torch.device) -> Tensor:
    """The part of one rank: float64 ``[length(ranks)]``, finite whatever the loss is."""
    head = torch.zeros(length(ranks), dtype=torch.float64, device=device)
    slot = head[rank * len(SLOT) : (rank + 1) * len(SLOT)]
    known = {name: getattr(said, name) for name in SLOT}
    bad, norm = known.pop("bad"), known.pop("norm")
    slot[:] = torch.tensor([*map(float, known.values()), 0.0, 0.0], dtype=torch.float64)
    slot[-2], slot[-1] = bad, norm
    if said.loss is not None:
        loss = said.loss.to(head)
        of_loss = head[-len(LOSS) :]
        of_loss[0] = loss.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        of_loss[1] = 1.0
        of_loss[2:] = torch.stack((loss.isnan(), loss == math.inf, loss == -math.inf))
        slot[-2] += ~loss.isfinite()
    return head

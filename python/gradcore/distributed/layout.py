"""Where the numbers of a table stand in the vector that ranks add up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from gradcore.distributed.squares import join, split
from gradcore.statistics import ROWS

if TYPE_CHECKING:
    from gradcore.distributed.ownership import Ownership

NUMEL: Final = ROWS.index("numel")
L2: Final = ROWS.index("l2")
COUNTED: Final = tuple(ROWS.index(name) for name in ("present", "nan", "posinf", "neginf"))
"""Rows in which replicas have to agree."""

ADDED: Final = tuple(name for name in ROWS if name not in {"l2", "max_abs", "lp"})
GATHERED: Final = ("max_abs", "lp")
"""Rows that no sum of the ranks' numbers gives: each rank has a place of its own for them."""

LARGEST: Final = torch.finfo(torch.float64).max


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """One table of all ranks."""

    table: Tensor
    """Float64 ``[len(ROWS), N + 1]``, as of `Statistics`."""

    differing: Tensor
    """Bool ``[N]``: replicas of the parameter do not have the same non-finite elements."""

    partly: Tensor
    """Bool ``[N]``: some replicas or pieces of it have a gradient and some have none."""


class Layout:
    """A table of this rank as a part of the vector, and the sum of these parts as a table.

    Whatever is measured in a step, the length is the same: what is not is zero.

    Args:
        names: Rows of the table that may be measured.
        parameters: Parameters of the job, N; 0 for totals alone.
        rank: This one.
        ranks: All.
        norm_type: The p of ``lp``.
    """

    def __init__(
        self, names: Iterable[str], parameters: int, rank: int, ranks: int, norm_type: float
    ) -> None:
        wanted = {*ROWS[: L2 + 1], *names}
        self._added = [name for name in ADDED if name in wanted]
        self._gathered = [name for name in GATHERED if name in wanted]
        self._rank, self._norm_type = rank, norm_type
        self._width = parameters + 1
        rows = len(self._added) + 3
        self._shapes = (
            (rows, self._width),
            (len(COUNTED), self._width),
            (len(self._gathered), ranks, self._width),
        )
        self.length: int = sum(math.prod(shape) for shape in self._shapes)

    def pack(self, table: Tensor, measured: frozenset[str], own: Ownership) -> Tensor:
        """The part of this rank: float64 ``[length]``.

        Args:
            table: As `measure` gave it, ``[len(ROWS), n + 1]``.
            measured: Names of the rows that were measured.
            own: Which of them this rank counts.
        """
        owned, columns = own.owned.to(table.device), own.columns.to(table.device)
        zero = table.new_zeros(())
        each = torch.where(owned, table[:, :-1], zero)
        added = table.new_zeros(self._shapes[0])
        here = [name in measured for name in self._added]
        rows = [ROWS.index(name) for name in self._added]
        counted = torch.cat((each[rows], split(each[L2])))
        known = torch.tensor([*here, True, True, True], device=table.device)
        counted = torch.where(known[:, None], counted, zero).clamp(min=-LARGEST)
        added[:, columns] = counted
        added[:, -1] = counted.sum(1)
        replicas = table.new_zeros(self._shapes[1])
        replicas[:, columns] = torch.where(owned, zero, table[list(COUNTED), :-1])
        gathered = table.new_zeros(self._shapes[2])
        for i, name in enumerate(self._gathered):
            if name in measured:
                row = each[ROWS.index(name)]
                gathered[i, self._rank, columns] = row
                gathered[i, self._rank, -1] = self._over(name, row[:, None])[0]
        return torch.cat((added.flatten(), replicas.flatten(), gathered.flatten()))

    def unpack(self, flat: Tensor, measured: frozenset[str], own: Ownership) -> Joined:
        """From the sum of all parts: what `measure` would have said of the whole tensors.

        Args:
            flat: Float64 ``[length]``.
            measured: Names of the rows that were measured.
            own: Which ranks hold what.
        """
        parts = torch.split(flat, [math.prod(shape) for shape in self._shapes])
        added, replicas, gathered = (
            part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)
        )
        table = flat.new_full((len(ROWS), self._width), math.nan)
        for i, name in enumerate(self._added):
            if name in measured:
                table[ROWS.index(name)] = added[i]
        table[L2] = join(added[-3:])
        for i, name in enumerate(self._gathered):
            if name in measured:
                table[ROWS.index(name)] = self._over(name, gathered[i])
        counts, others = table[list(COUNTED), :-1], replicas[:, :-1]
        unlike = others != counts * (own.copies - 1.0)
        # Seen on a replica alone, it counts too, so that nobody takes the gradient for a good one.
        alone = (counts[1:].sum(0) == 0) & (others[1:].sum(0) > 0)
        merged = torch.where(alone, others[1:], counts[1:])
        table[list(COUNTED[1:]), :-1] = merged
        table[list(COUNTED[1:]), -1] = merged.sum(1)
        table[0, :-1].clamp_(max=1.0)
        table[0, -1] = table[0, :-1].sum()
        seen = table[NUMEL, :-1]
        in_part = (seen > 0) & (seen < own.divided)
        return Joined(table, unlike[1:].any(0), unlike[0] | in_part)

    def _over(self, name: str, norms: Tensor) -> Tensor:
        """Over the first axis: the largest, or the norm of order p."""
        largest = norms.amax(0) if len(norms) else norms.new_zeros(norms.shape[1:])
        if name == "max_abs":
            return largest
        p = self._norm_type
        scaled = torch.where(largest > 0, norms / largest, norms.new_zeros(()))
        return torch.where(largest.isinf(), largest, largest * scaled.pow(p).sum(0).pow(1.0 / p))

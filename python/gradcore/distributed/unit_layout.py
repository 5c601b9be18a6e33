"""Norms of units as a part of the vector that ranks add up, wherever the elements of a unit are.

Each unit of the job has its place, so that all ranks know all norms and decide alike.  Of a unit
that a rank holds as a whole the place takes its norm, to which zeros are added.  Of one that lies
on several ranks, as rows do under ``Shard(1)`` and biases under ``Shard(0)``, it takes sums of
squares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from gradcore.distributed.sharding import indices_along, is_sharded, local_of
from gradcore.distributed.squares import join, split

if TYPE_CHECKING:
    from gradcore.distributed.ownership import Ownership

Told: TypeAlias = dict[str, tuple[int, bool]]
"""Of each parameter: units of the whole, and whether this rank holds only parts of units."""


def told_of_units(names: Sequence[str], parameters: Sequence[Tensor], axis: int) -> Told:
    """What this rank tells the others."""
    return {
        name: (tensor.shape[axis] if _has(tensor, axis) else 1, _holds_parts(tensor, axis))
        for name, tensor in zip(names, parameters, strict=True)
    }


def units_here(name: str, tensor: Tensor, axis: int) -> Tensor:
    """Which units of a parameter this rank holds something of: int64 ``[units]``.

    Raises:
        TypeError: It is placed in a way that does not tell.
    """
    if not _has(tensor, axis):
        return torch.zeros(1, dtype=torch.int64)
    if not is_sharded(tensor):
        return torch.arange(tensor.shape[axis])
    units = indices_along(tensor, axis)
    if len(units) != local_of(tensor).shape[axis]:
        raise TypeError(
            f"{name!r} is placed {tensor.placements}, which does not tell what units this rank "
            f"holds: {len(units)} by its placements, {local_of(tensor).shape[axis]} by what is "
            "there. Use a strategy that bounds whole parameters."
        )
    return units


class UnitLayout:
    """Norms of the U units of the job, of which this rank holds u or parts of them.

    Args:
        everyone: What each rank told.
        own: Which parameters this rank counts.
        here: Of each parameter of this rank, what `units_here` says.
    """

    def __init__(self, everyone: Sequence[Told], own: Ownership, here: Sequence[Tensor]) -> None:
        known = _of_all(everyone)
        self.counts: Tensor = torch.tensor([known[n][0] for n in own.names], dtype=torch.int64)
        """int64 ``[N]``: units of each parameter of the job."""
        firsts = (self.counts.cumsum(0) - self.counts)[own.columns]
        places = [first + units for first, units in zip(firsts, here, strict=True)]
        self.places: Tensor = torch.cat([self.counts[:0], *places])
        """int64 ``[u]``: where the units of this rank stand among those of the job."""
        sizes = torch.tensor([len(units) for units in here], dtype=torch.int64)
        self._owned = own.owned.repeat_interleave(sizes)
        parted = torch.tensor([known[n][1] for n in own.names], dtype=torch.bool)
        self._parted = parted.repeat_interleave(self.counts)
        rank_of = torch.where(self._parted, self._parted.cumsum(0), (~self._parted).cumsum(0)) - 1
        self._here_parted = self._parted[self.places]
        self._at_whole = rank_of[self.places[~self._here_parted]]
        self._at_parted = rank_of[self.places[self._here_parted]]
        parts = int(self._parted.sum())
        self._whole = len(self._parted) - parts
        self.length: int = self._whole + 3 * parts

    def pack(self, norms: Tensor) -> Tensor:
        """Norms of what this rank holds, ``[u]``, as its part: float64 ``[length]``."""
        device = norms.device
        counted = torch.where(self._owned.to(device), norms, norms.new_zeros(()))
        parted = self._here_parted.to(device)
        flat = norms.new_zeros(self.length)
        flat[self._at_whole.to(device)] = counted[~parted]
        flat[self._whole :].view(3, -1)[:, self._at_parted.to(device)] = split(counted[parted])
        return flat

    def unpack(self, flat: Tensor) -> Tensor:
        """Norms of all units, ``[U]``, from the sum of all parts."""
        norms = flat.new_empty(len(self._parted))
        norms[~self._parted] = flat[: self._whole]
        norms[self._parted] = join(flat[self._whole :].view(3, -1))
        return norms


def _of_all(everyone: Sequence[Told]) -> Mapping[str, tuple[int, bool]]:
    """Of each parameter of the job the same, whichever ranks hold it."""
    known: Told = {}
    for told in everyone:
        for name, (count, parts) in told.items():
            known[name] = count, parts or (name in known and known[name][1])
    return known


def _has(tensor: Tensor, axis: int) -> bool:
    """Whether it has units along the axis; one is what it is otherwise."""
    return tensor.ndim > 1 and -tensor.ndim <= axis < tensor.ndim


def _holds_parts(tensor: Tensor, axis: int) -> bool:
    if not is_sharded(tensor):
        return False
    local, whole = list(local_of(tensor).shape), list(tensor.shape)
    if _has(tensor, axis):
        local[axis] = whole[axis]
    return local != whole

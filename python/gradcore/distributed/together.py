"""The drop-in functions on one of many ranks: norms of whole DTensors, from one SUM all-reduce."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

import torch
import torch.distributed as dist
from torch import Tensor

from gradcore.distributed.configuration import difference
from gradcore.distributed.group import device_of, group_of
from gradcore.distributed.head import Said
from gradcore.distributed.ownership import gathered
from gradcore.distributed.partials import (
    Partials,
    as_gradient,
    can_be_summed,
    pending_of,
    told_of,
)
from gradcore.distributed.placement import placed
from gradcore.distributed.sharding import is_sharded
from gradcore.distributed.shards import Shards
from gradcore.distributed.vector import Vector, bad_elements, empty_table
from gradcore.errors import DistributedError
from gradcore.statistics import ALWAYS, Statistics

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from gradcore.distributed.head import Head
    from gradcore.distributed.layout import Joined


class Measure(Protocol):
    """Gives the table of plain tensors, or of their gradients."""

    def __call__(self, pieces: list[Tensor], *, gradients: bool) -> Tensor: ...


def shards_of(tensors: list[Tensor]) -> Shards:
    """What this rank holds of tensors; named by their numbers."""
    return Shards([f"tensor {i}" for i in range(len(tensors))], tensors)


def summed_pieces_of(tensors: list[Tensor]) -> list[Tensor]:
    """What this rank holds of tensors and their gradients, each element as it is in the whole.

    Raises:
        TypeError: A gradient is still to be summed up.
    """
    shards = shards_of(tensors)
    if not shards.take_gradients():
        first = next(i for i, tensor in enumerate(tensors) if pending_of(tensor))
        raise TypeError(
            f"The gradient of tensor {first} is still to be summed up, so that its elements are "
            "not known. Call clip_grad_norm_ or a guard, which do that, or redistribute it first: "
            "p.grad = p.grad.redistribute(placements=p.placements)."
        )
    return shards.tensors


def measured_together(
    tensors: list[Tensor],
    measure: Measure,
    row: str,
    *,
    gradients: bool,
    norm_type: float,
    arguments: str,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Measure what this rank holds, and add it up with what other ranks do.

    Args:
        tensors: DTensors, and others, of which every rank has a copy; the same list on every rank.
        measure: What looks at this rank's part of them.
        row: What it measures beyond what is always there.
        gradients: Of their gradients rather than of themselves.
        norm_type: The p of ``lp``.
        arguments: What has to be the same on all ranks.

    Returns:
        What this rank holds, its table, and that of the whole, the same on all ranks.

    Raises:
        DistributedError: Meshes do not belong together, a rank failed to measure, or ranks were
            called with different arguments; the same error on all of them.
    """
    complete: list[Tensor] = []
    group = group_of(tensors)
    assert group is not None  # noqa: S101 - one of them is a DTensor
    if not gradients:
        if any(map(can_be_summed, tensors)):
            tensors, gradients = [as_gradient(tensor) for tensor in tensors], True
        complete = tensors
    call = _Call(
        tensors,
        measure,
        row,
        gradients=gradients,
        complete=complete,
        norm_type=norm_type,
        arguments=arguments,
        group=group,
    )
    head = call.attempt({})
    if head.stale:  # gradients are to be summed up, which all ranks know now
        names = [f"tensor {i}" for i in range(len(tensors))]
        partials = Partials(names, tensors, gathered(told_of(names, tensors), group))
        summed = partials.reduce()
        head = call.attempt(summed.values)
        if not any(head.failed):
            summed.place(tensors)
    if any(head.failed) or len(set(head.digests)) > 1:
        _fail(call.failure, arguments, group)
    joined = call.joined()
    unlike = (joined.differing | joined.partly).nonzero()
    if len(unlike):
        raise DistributedError(
            f"Ranks that hold tensor {int(unlike[0])} differ in what of it is not "
            "finite, or in whether it is there; something is not finite on these ranks: "
            f"{', '.join(map(str, head.bad)) or 'none'}. Skip the step."
        )
    return call.pieces, call.table, joined.table.to(call.table.device)


class _Call:
    """One call, on one of many ranks."""

    def __init__(
        self,
        tensors: list[Tensor],
        measure: Measure,
        row: str,
        *,
        gradients: bool,
        complete: list[Tensor],
        norm_type: float,
        arguments: str,
        group: ProcessGroup,
    ) -> None:
        self._tensors, self._measure, self._gradients = tensors, measure, gradients
        self._complete = complete
        self._measured = ALWAYS | {row}
        self._digest, self._group = crc32(arguments.encode()), group
        self._own = placed(tensors)
        place = dist.get_rank(group), dist.get_world_size(group), norm_type
        # Of one length whatever is measured, so that ranks that differ find it out.
        self._vector = Vector(("l1", "max_abs", "lp"), self._own, *place)

    def attempt(self, summed: Mapping[int, Tensor]) -> Head:
        """Measure, and add up; an error of this rank waits until all ranks know of it."""
        self.failure: str | None = None
        self.pieces: list[Tensor] = []
        self.table = empty_table(len(self._tensors))
        complete = True
        try:
            _require_summed(self._complete)
            shards = shards_of(self._tensors)
            if self._gradients:
                complete = shards.take_gradients(summed)
            self.pieces = shards.tensors
            self.table = self._measure(self.pieces, gradients=self._gradients)
        except (TypeError, ValueError) as error:
            self.failure = f"{type(error).__name__}: {error}"
        self._local = Statistics(self.table, torch.tensor(False), self._measured)
        said = Said(
            digest=self._digest,
            failed=self.failure is not None,
            stale=not complete,
            bad=bad_elements(self._local, {}),
        )
        vector = self._vector.pack(said, self._local)
        vector = vector.to(device_of(self._group, [tensor.device.type for tensor in self._tensors]))
        dist.all_reduce(vector, group=self._group)
        self._sums = vector.cpu()
        return self._vector.head(self._sums)

    def joined(self) -> Joined:
        """What all ranks measured."""
        return self._vector.unpack(self._sums, self._local).gradients


def _require_summed(tensors: list[Tensor]) -> None:
    for i, tensor in enumerate(tensors):
        if is_sharded(tensor) and any(p.is_partial() for p in tensor.placements):
            raise TypeError(
                f"Tensor {i} is placed {tensor.placements}: its elements are still to be summed "
                "up. Call .redistribute() on it first."
            )


def _fail(failure: str | None, arguments: str, group: ProcessGroup) -> None:
    """Raise the same error everywhere."""
    everyone = gathered((failure, arguments), group)
    for rank, (reason, _) in enumerate(everyone):
        if reason is not None:
            raise DistributedError(f"Rank {rank} could not measure. {reason}")
    unlike = difference([{"arguments": given} for _, given in everyone])
    raise DistributedError(unlike or "Ranks were called with different arguments.")

"""The drop-in functions on one of many ranks: norms of whole DTensors, from one SUM all-reduce."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING
from zlib import crc32

import torch
import torch.distributed as dist
from torch import Tensor

from gradcore.distributed import head as heads
from gradcore.distributed.configuration import difference
from gradcore.distributed.group import device_of, group_of
from gradcore.distributed.layout import Layout
from gradcore.distributed.ownership import Ownership, gathered
from gradcore.distributed.sharding import is_sharded
from gradcore.distributed.shards import Shards
from gradcore.errors import DistributedError
from gradcore.statistics import ALWAYS, ROWS

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def shards_of(tensors: list[Tensor], *, gradients: bool) -> Shards:
    """What this rank holds of tensors, or of their gradients; named by their numbers.

    Raises:
        TypeError: A gradient is placed unlike its parameter, or is still to be summed up.
    """
    shards = Shards([f"tensor {i}" for i in range(len(tensors))], tensors)
    if gradients:
        shards.take_gradients()
        return shards
    for i, tensor in enumerate(tensors):
        if is_sharded(tensor) and any(p.is_partial() for p in tensor.placements):
            raise TypeError(
                f"Tensor {i} is placed {tensor.placements}: its elements are still to be summed "
                "up. Call .redistribute() on it first."
            )
    return shards


def measured_together(
    tensors: list[Tensor],
    measure: Callable[[list[Tensor]], Tensor],
    row: str,
    *,
    gradients: bool,
    norm_type: float,
    arguments: str,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Measure what this rank holds, and add it up with what other ranks do.

    Args:
        tensors: DTensors of one mesh, and others, of which every rank has a copy.
        measure: Gives the table of plain tensors.
        row: What it measures beyond what is always there.
        gradients: Of their gradients rather than of themselves.
        norm_type: The p of ``lp``.
        arguments: What has to be the same on all ranks.

    Returns:
        What this rank holds, its table, and that of the whole, the same on all ranks.

    Raises:
        DistributedError: There are several meshes, a rank failed to measure, or ranks were called
            with different arguments; the same error on all of them.
    """
    group = group_of(tensors)
    assert group is not None  # noqa: S101 - one of them is a DTensor
    own = _ownership(tensors, group)
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    failure: str | None = None
    pieces: list[Tensor] = []
    table = torch.zeros(len(ROWS), len(tensors) + 1, dtype=torch.float64)
    try:
        pieces = shards_of(tensors, gradients=gradients).tensors
        table = measure(pieces)
    except (TypeError, ValueError) as error:
        failure = f"{type(error).__name__}: {error}"
    # Of one length whatever is measured, so that ranks that differ find it out.
    layout = Layout(("l1", "max_abs", "lp"), len(tensors), rank, ranks, norm_type)
    said = heads.said(
        rank,
        ranks,
        digest=crc32(arguments.encode()),
        failed=failure is not None,
        stale=False,
        bad=table[2:5, -1].sum(),
        loss=None,
    )
    vector = torch.cat((said, layout.pack(table, ALWAYS | {row}, own)))
    vector = vector.to(device_of(group, [tensor.device.type for tensor in tensors]))
    dist.all_reduce(vector, group=group)
    vector = vector.cpu()
    head = heads.Head.of(vector[: said.numel()], ranks)
    if any(head.failed) or len(set(head.digests)) > 1:
        _fail(failure, arguments, group)
    joined = layout.unpack(vector[said.numel() :], ALWAYS | {row}, own.copies)
    unlike = (joined.differing | joined.partly).nonzero()
    if len(unlike):
        raise DistributedError(
            f"Tensor {int(unlike[0])} is not finite, or there at all, in the same places on all "
            f"ranks that hold a copy; something is not finite on rank {head.bad}. Skip the step."
        )
    return pieces, table, joined.table.to(table.device)


def _ownership(tensors: list[Tensor], group: ProcessGroup) -> Ownership:
    """By placement alone: the first along a dimension over which a tensor is replicated counts it.

    Names, which tell more, are not known.
    """
    meshes = [tensor.device_mesh for tensor in tensors if is_sharded(tensor)]
    if any(mesh != meshes[0] for mesh in meshes):
        raise DistributedError(
            "The tensors are DTensors of several meshes, and which of them are copies cannot be "
            "told without names. Use gradcore.Guard, which knows them."
        )
    first, ranks = dist.get_rank(group) == 0, float(dist.get_world_size(group))
    owned, copies = [], []
    for tensor in tensors:
        if not is_sharded(tensor):
            owned.append(first)
            copies.append(ranks)
            continue
        mesh, at = tensor.device_mesh, tensor.device_mesh.get_coordinate()
        assert at is not None  # noqa: S101 - a rank outside the mesh has no such tensor
        over = [i for i, p in enumerate(tensor.placements) if p.is_replicate()]
        owned.append(all(at[i] == 0 for i in over))
        copies.append(float(math.prod(mesh.size(i) for i in over)))
    n = len(tensors)
    return Ownership(
        tuple(map(str, range(n))),
        torch.arange(n),
        torch.tensor(owned),
        torch.tensor(copies, dtype=torch.float64),
    )


def _fail(failure: str | None, arguments: str, group: ProcessGroup) -> None:
    """Raise the same error everywhere."""
    everyone = gathered((failure, arguments), group)
    for rank, (reason, _) in enumerate(everyone):
        if reason is not None:
            raise DistributedError(f"Rank {rank} could not measure. {reason}")
    unlike = difference([{"arguments": given} for _, given in everyone])
    raise DistributedError(unlike or "Ranks were called with different arguments.")

"""Which rank counts which elements where tensors have no names: by their placements alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, combinations
from typing import TYPE_CHECKING

import torch

from gradcore.distributed.group import largest_mesh
from gradcore.distributed.ownership import Ownership
from gradcore.distributed.sharding import is_sharded, ranks_of
from gradcore.errors import DistributedError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor.placement_types import Placement


def placed(tensors: Sequence[Tensor]) -> Ownership:
    """The first along a dimension over which a tensor is replicated counts it.

    Ranks of the largest mesh give the same tensors in the same order.  Where a tensor is on a part
    of that mesh, other parts hold copies of it.  Plain tensors are copies on all ranks.

    Raises:
        DistributedError: A mesh is no part of the largest one.
    """
    whole = largest_mesh(tensors)
    assert whole is not None  # noqa: S101 - one of them is a DTensor
    here = _coordinate(whole)
    plain = not any(here), float(whole.size()), False
    known: dict[tuple[int, tuple[Placement, ...]], tuple[bool, float, bool]] = {}
    each = []
    for i, tensor in enumerate(tensors):
        if not is_sharded(tensor):
            each.append(plain)
            continue
        mesh, placements = tensor.device_mesh, tensor.placements
        key = id(mesh), placements
        if key not in known:  # of hundreds of tensors few are placed in a way of their own
            beside = _beside(mesh, whole)
            if beside is None:
                raise DistributedError(
                    f"Tensor {i} is on ranks {ranks_of(mesh)}, which are no part of the mesh of "
                    f"{whole.mesh.tolist()}: which tensors are copies cannot be told without "
                    "names. Use gradcore.Guard, which knows them."
                )
            at = _coordinate(mesh)
            over = [d for d, placement in enumerate(placements) if placement.is_replicate()]
            first = not any(here[d] for d in beside) and not any(at[d] for d in over)
            sizes = [whole.size(d) for d in beside] + [mesh.size(d) for d in over]
            known[key] = first, float(math.prod(sizes)), len(over) < len(placements)
        each.append(known[key])
    owned, copies, divided = zip(*each, strict=True)
    elements = [t.numel() if parts else 0 for t, parts in zip(tensors, divided, strict=True)]
    n = len(tensors)
    return Ownership(
        tuple(map(str, range(n))),
        torch.arange(n),
        torch.tensor(owned),
        torch.tensor(copies, dtype=torch.float64),
        torch.tensor(elements, dtype=torch.float64),
    )


def _beside(mesh: DeviceMesh, whole: DeviceMesh) -> tuple[int, ...] | None:
    """Dimensions of ``whole`` along which there are other meshes like this; None if it is none."""
    if mesh is whole:
        return ()
    here, ranks = _coordinate(whole), ranks_of(mesh)
    dimensions = range(whole.ndim)
    for others in chain.from_iterable(combinations(dimensions, n) for n in range(whole.ndim)):
        part = whole.mesh[tuple(here[d] if d in others else slice(None) for d in dimensions)]
        if sorted(part.flatten().tolist()) == ranks:
            return others
    return None


def _coordinate(mesh: DeviceMesh) -> list[int]:
    at = mesh.get_coordinate()
    assert at is not None  # noqa: S101 - a rank outside the mesh has no such tensor
    return list(at)

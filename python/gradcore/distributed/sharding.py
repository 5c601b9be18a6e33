"""What this rank holds of a tensor.  The only module that knows the inside of a DTensor."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor
    from torch.distributed.tensor.placement_types import Placement
    from typing_extensions import TypeIs

Piece: TypeAlias = tuple[tuple[str, int], ...]
"""Which part of a tensor: the mesh dimensions that divide it, and the coordinates on them."""


def is_sharded(tensor: Tensor) -> TypeIs[DTensor]:
    """Whether it is a DTensor, without importing what would make one."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def any_sharded(tensors: Iterable[Tensor]) -> bool:
    """Whether there is a DTensor among them; asks every type but once."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and any(
        issubclass(kind, module.DTensor) for kind in set(map(type, tensors))
    )


def local_of(tensor: DTensor) -> Tensor:
    """The elements this rank holds, in the memory of the DTensor itself.

    ``to_local()`` says the same through autograd, at some microseconds a tensor.
    """
    local: Any = getattr(tensor, "_local_tensor", None)
    if local is None:  # a torch that calls it something else
        local = tensor.to_local().detach()
    # What a functional collective returned is perhaps still on its way.
    arrived: Tensor = local.wait() if hasattr(local, "wait") else local
    return arrived


def placing(
    tensor: DTensor, placements: Sequence[Placement] | None = None
) -> Callable[[Tensor], Tensor]:
    """Makes DTensors that are placed as this one is, or so, of what this rank holds.

    The tensor itself is not held.
    """
    from torch.distributed.tensor import DTensor  # noqa: PLC0415 - no part of every build of torch

    return partial(
        DTensor.from_local,
        device_mesh=tensor.device_mesh,
        placements=tensor.placements if placements is None else placements,
        run_check=False,
        shape=tensor.shape,
        stride=tensor.stride(),
    )


def piece_of(tensor: Tensor) -> Piece:
    """Equal for two ranks exactly if they hold the same elements of the tensor.

    Whatever is not replicated over a dimension of the mesh is divided along it: kinds of shards
    unknown here too.
    """
    if not is_sharded(tensor):
        return ()
    mesh, placements = tensor.device_mesh, tensor.placements
    names = mesh.mesh_dim_names or [str(i) for i in range(mesh.ndim)]
    at = mesh.get_coordinate()
    assert at is not None  # noqa: S101 - a rank outside the mesh has no such parameter
    return tuple(
        (name, coordinate)
        for name, coordinate, placement in zip(names, at, placements, strict=True)
        if not (placement.is_replicate() or placement.is_partial())
    )


def pieces_of(tensor: Tensor) -> int:
    """Into how many pieces a tensor is divided, as `piece_of` tells them apart."""
    if not is_sharded(tensor):
        return 1
    mesh = tensor.device_mesh
    return math.prod(
        mesh.size(dimension)
        for dimension, placement in enumerate(tensor.placements)
        if not (placement.is_replicate() or placement.is_partial())
    )


def indices_along(tensor: DTensor, axis: int) -> Tensor:
    """Which indices of an axis this rank holds something at: int64 ``[n]``, on the CPU."""
    from torch.distributed.tensor import Replicate, distribute_tensor  # noqa: PLC0415 - as above

    axis %= tensor.ndim
    placements = []
    for placement in tensor.placements:
        divided: Any = getattr(placement, "dim", None)
        if divided is None or divided % tensor.ndim != axis:
            placements.append(Replicate())
            continue
        kind: Any = type(placement)
        factor = getattr(placement, "split_factor", None)  # of FSDP2 over a dimension of its own
        placements.append(kind(0) if factor is None else kind(0, split_factor=factor))
    whole = torch.arange(tensor.shape[axis])
    placed = distribute_tensor(whole, tensor.device_mesh, placements, src_data_rank=None)
    return local_of(placed).cpu()


def ranks_of(mesh: DeviceMesh) -> list[int]:
    """Its ranks within the whole job, sorted."""
    ranks: list[Any] = mesh.mesh.flatten().tolist()
    return sorted(ranks)

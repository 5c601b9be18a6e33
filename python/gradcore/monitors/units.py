"""Which axis of an activation its units lie on, and between which bounds its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

if TYPE_CHECKING:
    from torch import Tensor

LAST: Final = (
    nn.Bilinear,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.LayerNorm,
    nn.Linear,
    nn.MultiheadAttention,
    nn.RMSNorm,
    nn.RNNBase,
)
"""Modules whose features are the last axis of what they return."""

CHANNELS: Final = (nn.GroupNorm, _BatchNorm, _InstanceNorm)
"""Modules whose features are the second axis, behind the batch."""

IMAGES: Final = (4, 5)
"""Numbers of axes of a batch of images or volumes."""

BOUNDS: Final[dict[type[nn.Module], tuple[float, float]]] = {
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
}


def unit_axis(module: nn.Module, tensor: Tensor, inherited: int | None) -> int | None:
    """The axis of the units in what a module returned; None if all of it is one unit.

    ``inherited`` is the axis in what it was given, if that is known and the shapes are alike.
    """
    if isinstance(module, _ConvNd) and tensor.ndim > len(module.kernel_size):
        return tensor.ndim - len(module.kernel_size) - 1
    if isinstance(module, LAST) and tensor.ndim > 0:
        return tensor.ndim - 1
    if isinstance(module, CHANNELS):
        return 1
    if inherited is not None or tensor.ndim <= 1:
        return inherited
    return 1 if tensor.ndim in IMAGES else tensor.ndim - 1


def by_unit(values: Tensor, axis: int | None) -> Tensor:
    """The values as ``[units, elements]``."""
    if axis is None or values.ndim == 0:
        return values.reshape(1, -1)
    inside = -values.ndim <= axis < values.ndim
    first = values.movedim(axis if inside else -1, 0)
    return first.flatten(1) if first.ndim > 1 else first[:, None]


def bounds_of(module: nn.Module) -> tuple[float, float] | None:
    """The range of the module's values, where it is an activation that has one."""
    if isinstance(module, nn.Hardtanh):
        return float(module.min_val), float(module.max_val)
    return BOUNDS.get(type(module))

"""The dtype in which numerics are computed: float32 or what is wider, autocast or not."""

from __future__ import annotations

import torch
from torch import Tensor


def widened(name: str, x: Tensor) -> Tensor:
    """Return ``x``, in float32 (complex64) if it is of a narrower dtype.

    Raises:
        TypeError: ``x`` is no tensor of a floating or complex dtype.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor; got {type(x).__name__}.")
    if not (x.is_floating_point() or x.is_complex()):
        raise TypeError(f"{name} must be of a floating dtype; got {x.dtype}. Use `.float()`.")
    return x.to(torch.promote_types(x.dtype, torch.float32))

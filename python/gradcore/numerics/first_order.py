"""What computes its gradient by hand says so when a gradient of the gradient is wanted."""

from __future__ import annotations

import torch


def require_first_order() -> None:
    """Raise if a backward pass is asked to be differentiable itself (``create_graph=True``).

    `torch.autograd.function.once_differentiable` raises where the incoming gradient depends on
    something; of a loss it is a constant, and the second derivative would be a part of the truth.

    Raises:
        RuntimeError: It is.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            "The streamed loss can be differentiated once, not with create_graph=True. Leave out"
            " chunk= to differentiate it again."
        )

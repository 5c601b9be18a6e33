"""Swish, with the steepness that torch's SiLU leaves out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcore.validation import require_positive


class Swish(nn.Module):
    """``x * sigmoid(beta * x)``, element by element.

    ``beta = 1`` is torch's SiLU; the larger it is, the nearer to ReLU; towards 0 it becomes
    ``x / 2``.

    Args:
        beta: Steepness, finite and > 0.
        trainable: Make ``beta`` a parameter (0-d, float32), trained along with the model.

    Raises:
        ValueError: ``beta`` is not finite and > 0.

    Source:
        P. Ramachandran, B. Zoph and Q. V. Le, "Searching for Activation Functions", 2017,
        arXiv:1710.05941, section 3.

    Example:
        >>> Swish(beta=2.0)(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([-0.1192,  0.0000,  0.8808])
    """

    beta: Tensor

    def __init__(self, beta: float = 1.0, *, trainable: bool = False) -> None:
        super().__init__()
        start = torch.tensor(require_positive("beta", beta))
        if trainable:
            self.beta = nn.Parameter(start)
        else:
            self.register_buffer("beta", start)

    def forward(self, x: Tensor) -> Tensor:
        """Map a floating tensor of any shape to one of the same shape and dtype."""
        return swish(x, self.beta)

    def extra_repr(self) -> str:
        """Show the steepness."""
        return f"beta={self.beta.item():g}"


def swish(x: Tensor, beta: Tensor | float = 1.0) -> Tensor:
    """``x * sigmoid(beta * x)``; see `Swish`."""
    if isinstance(beta, Tensor):
        return x * (beta.to(x.dtype) * x).sigmoid()
    return functional.silu(x) if beta == 1.0 else x * (beta * x).sigmoid()

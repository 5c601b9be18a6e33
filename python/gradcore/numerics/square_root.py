"""A square root with a derivative everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.numerics.widening import widened
from gradcore.validation import require_positive

if TYPE_CHECKING:
    from torch import Tensor


def safe_sqrt(x: Tensor, eps: float = 1e-8) -> Tensor:
    """``sqrt(|x| + eps)``, element by element.

    Rounding makes small negative numbers of sums of squares, of which the square root is NaN; and
    at zero its derivative is infinite.  This one's is at most ``1 / (2 sqrt(eps))``, and 0 at 0.
    At 0 it is ``sqrt(eps)``, so give an ``eps`` far below the squares that matter.

    Args:
        x: Any shape, real floating dtype; 16-bit ones are computed in float32.
        eps: > 0, in the unit of ``x``.

    Returns:
        The shape and dtype of ``x``, > 0.

    Raises:
        TypeError: ``x`` is of an integer, boolean or complex dtype.
        ValueError: ``eps`` is not > 0.

    Example:
        >>> x = torch.tensor([0.0, 4.0], requires_grad=True)
        >>> safe_sqrt(x).sum().backward()
        >>> x.grad
        tensor([0.0000, 0.2500])
    """
    require_positive("eps", eps)
    wide = widened("x", x)
    if wide.is_complex():
        raise TypeError(f"x must be real; got {x.dtype}.")
    return (wide.abs() + eps).sqrt().to(x.dtype)

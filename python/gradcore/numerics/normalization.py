"""Unit vectors, whatever the length of what they are made from."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcore.numerics.widening import widened
from gradcore.validation import require_positive


def normalize(x: Tensor, dim: int = -1, eps: float = 1e-8) -> Tensor:
    """Divide vectors by their Euclidean length.

    ``x / |x|`` for any finite vector but zero: its largest element is divided out first, so squares
    neither overflow nor underflow, where `torch.nn.functional.normalize` turns huge float32 vectors
    into zeros and leaves tiny ones short.  A zero vector has no direction: it stays zero and gets a
    gradient of zero.

    Args:
        x: Vectors along ``dim``, of any shape and any real or complex floating dtype.  16-bit ones
            are computed in float32.
        dim: The axis of the vectors.
        eps: > 0.  The gradient, ``(g - y <y, g>) / |x|``, grows without bound as ``|x|`` falls.
            Vectors shorter than this get that of a vector of this length in the same direction.

    Returns:
        The shape and dtype of ``x``; vectors that hold a NaN or an infinity are NaN throughout.

    Raises:
        TypeError: ``x`` is of an integer or boolean dtype.
        ValueError: ``eps`` is not > 0.

    Source:
        For dividing by the largest element, J. L. Blue, "A Portable Fortran Program to Find the
        Euclidean Norm of a Vector", ACM TOMS 4(1), 1978.  The quotient does not change with the
        length of ``x``, so the divisor may count as a constant in the derivative.

    Example:
        >>> normalize(torch.tensor([[3e30, 4e30], [3e-30, 4e-30], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    require_positive("eps", eps)
    wide = widened("x", x)
    with torch.no_grad():
        largest = _magnitude(wide).amax(dim, keepdim=True)
        divisor = torch.where(largest > 0, largest, 1.0)
        scaled = _divided(wide, divisor)
        length = _length(scaled, dim)
        slope = (largest > 0) / torch.maximum(divisor, eps / length)
    # The value of `scaled`, with a derivative that is bounded: the second term is zero.
    scaled = scaled + (wide - wide.detach()) * slope
    return (scaled / _length(scaled, dim)).to(x.dtype)


def _magnitude(x: Tensor) -> Tensor:
    """Magnitude of each element; of complex ones, of the larger part: ``|x|`` may overflow."""
    return torch.view_as_real(x.resolve_conj()).abs().amax(-1) if x.is_complex() else x.abs()


def _divided(x: Tensor, divisor: Tensor) -> Tensor:
    """``x / divisor``, part by part: complex division squares the divisor."""
    if not x.is_complex():
        return x / divisor
    return torch.view_as_complex(torch.view_as_real(x.resolve_conj()) / divisor[..., None])


def _length(scaled: Tensor, dim: int) -> Tensor:
    """Length of vectors whose largest element is 1: at least 1.  Of zero vectors it is 1, too."""
    length: Tensor = torch.linalg.vector_norm(scaled, dim=dim, keepdim=True)
    return length.clamp(min=1.0)

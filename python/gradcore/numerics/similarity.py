"""How alike n things are, one from each of n sets."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcore.numerics.forms import (
    Method,
    joint_sum,
    pair_scores,
    rows_of,
    scores_by_pair,
    similarity_of_sum,
)
from gradcore.numerics.product import joint_product, joint_product_of_logs
from gradcore.validation import require_positive


def nway_similarity(
    *features: Tensor,
    method: Method = "product",
    normalize: bool = True,
    eps: float = 1e-8,
    clamp: tuple[float, float] | None = (-100.0, 100.0),
    log_space: bool = False,
) -> Tensor:
    """Similarity of every choice of one row from each of n sets of features.

    With rows ``x_i`` of set i, brought to unit length first:

    ==================== ==========================================================  ==============
    ``method``           similarity of ``x_1, …, x_n``                               for unit rows
    ==================== ==========================================================  ==============
    ``product``          ``sum_z x_1[z] x_2[z] … x_n[z]``                            in [-1, 1]
    ``norm``             ``|(x_1 + … + x_n) / n|^2``                                 in [0, 1]
    ``cosine``           mean over the pairs i < j of ``cos(x_i, x_j)``              in [-1, 1]
    ``distance``         minus the mean over the pairs of ``|x_i - x_j|``            in [-2, 0]
    ``geometric_cosine`` ``2 g - 1``, g the geometric mean over the pairs of         in [-1, 1]
                         ``(1 + cos(x_i, x_j)) / 2``
    ==================== ==========================================================  ==============

    ``product``, ``cosine`` and ``geometric_cosine`` of two sets are CLIP's matrix of cosines.  The
    product of many unit rows is small, about ``D^(1 - n / 2)`` for aligned ones: it wants a larger
    logit scale the more sets there are, which the other forms do not.

    Gradients are finite for any finite input: of zero rows they are zero (`normalize`), and so is
    that of the distance of equal rows.  With ``normalize=False`` products and squares of rows must
    be within the dtype, or the product be taken in ``log_space``.

    Args:
        *features: Two to eight tensors ``[B, D]`` of real floating dtype, on one device.
        method: The form.
        normalize: Bring rows to unit length; False takes them as they are.  The cosine forms are
            of directions either way.
        eps: > 0.  See `normalize`; and what is added to ``(1 + cos) / 2`` before its logarithm is
            taken, and subtracted from the geometric mean.
        clamp: Smallest and largest similarity; beyond them the gradient is zero.  None for none.
            Of unit rows no form gets near the default.
        log_space: Compute the product by signs and sums of logarithms, which cannot overflow or
            underflow on the way.  For features that are not normalised.

    Returns:
        ``[B] * n``: element ``[a, b, …]`` is of row a of the first set, b of the second, ….
        float32, or float64 if a set is; under autocast too.

    Raises:
        TypeError: A set is no tensor of a real floating dtype.
        ValueError: There are fewer than two sets or more than eight, their shapes differ, or an
            option cannot be.

    Source:
        Two sets: A. Radford et al., "Learning Transferable Visual Models From Natural Language
        Supervision", ICML 2021, figure 3.  The product is the generalised inner product of n
        vectors; the norm of the mean of unit vectors is the mean resultant length of directional
        statistics: K. V. Mardia and P. E. Jupp, "Directional Statistics", Wiley 2000, section 9.2.

    Example:
        >>> text, image = torch.eye(2), torch.tensor([[2.0, 0.0], [3.0, 3.0]])
        >>> nway_similarity(text, image)
        tensor([[1.0000, 0.7071],
                [0.0000, 0.7071]])
        >>> nway_similarity(text, image, image, method="norm").shape
        torch.Size([2, 2, 2])
    """
    require_positive("eps", eps)
    require_clamp(clamp)
    if log_space and method != "product":
        raise ValueError(f'log_space is for method="product"; got method={method!r}.')
    rows = rows_of(features, method, normalize=normalize, eps=eps)
    # Autocast would multiply in 16 bits.
    with torch.autocast(rows[0].device.type, enabled=False):
        if log_space:
            joint = joint_product_of_logs(rows)
        elif method == "product":
            joint = joint_product(rows)
        else:
            scores = scores_by_pair(pair_scores(rows, method, eps), len(rows))
            joint = similarity_of_sum(joint_sum(scores), method, eps)
    return joint if clamp is None else joint.clamp(*clamp)


def require_clamp(clamp: tuple[float, float] | None) -> None:
    """Raise `ValueError` unless ``clamp`` is None or two numbers in order."""
    if clamp is None:
        return
    match clamp:
        case (int() | float() as low, int() | float() as high) if low < high:
            return
    raise ValueError(f"clamp must be None or two numbers, smaller first; got {clamp!r}.")

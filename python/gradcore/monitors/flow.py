"""Which layers' gradients vanish, and which explode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.validation import require_positive, require_threshold

if TYPE_CHECKING:
    from gradcore.report import Report


def gradient_flow(
    report: Report, *, vanishing: float = 1e-7, exploding: float = 100.0
) -> dict[str, list[str]]:
    """Names of the parameters whose gradients are too small or too large, in model order.

    Args:
        report: What a guard said of one step.
        vanishing: Euclidean norms below it vanish; finite and > 0.
        exploding: Norms above it explode, and so do gradients with an infinite element; > 0.

    Returns:
        ``layers_with_vanishing_grads`` and ``layers_with_exploding_grads``.  A parameter without a
        gradient is in neither, and no more is one with NaN elements unless others make it so: its
        norm is that of the finite ones.

    Raises:
        ValueError: A threshold cannot be.

    Example:
        >>> import gradcore, torch
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> weight.grad = torch.tensor([300.0, 400.0])
        >>> gradient_flow(gradcore.Guard([("weight", weight)]).apply())
        {'layers_with_vanishing_grads': [], 'layers_with_exploding_grads': ['weight']}
    """
    low = require_positive("vanishing", vanishing)
    high = require_threshold("exploding", exploding)
    rows = [row for row in report.parameters if row.norm is not None]
    return {
        "layers_with_vanishing_grads": [
            row.name
            for row in rows
            if (row.norm or 0.0) < low and not (row.nan or row.posinf or row.neginf)
        ],
        "layers_with_exploding_grads": [
            row.name for row in rows if (row.norm or 0.0) > high or row.posinf or row.neginf
        ],
    }

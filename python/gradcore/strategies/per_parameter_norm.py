"""Clipping of each parameter's gradient by its own norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from gradcore.plan import Scale
from gradcore.validation import require_threshold

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


class PerParameterNorm(nn.Module):
    """Scale each gradient by itself so that its Euclidean norm is at most the bound of its name.

    One layer that runs away is held back and the others keep every bit, which `GlobalNorm` does not
    do; the direction of the joint gradient changes.

    Args:
        max_norm: Largest norm of a gradient whose name no pattern matches, > 0, in the unit of the
            gradient; infinity bounds nothing.
        bounds: Largest norms by patterns of names, like ``{"encoder.*": 0.5}``, with the wildcards
            of `fnmatch`, upper and lower case told apart.  The first pattern that matches counts,
            in the order given.

    Raises:
        ValueError: A bound is NaN, zero or negative; or, when a guard is made, a pattern matches no
            name.

    Example:
        >>> import gradcore
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
        >>> strategy = PerParameterNorm(1.0, bounds={"0.*": 0.1, "*.bias": 0.5})
        >>> guard = gradcore.Guard(model, clip=strategy)
    """

    name: ClassVar[str] = "per_parameter_norm"

    limits: Tensor | None
    """float64 ``[n]``, a bound a parameter; None before `bind`."""

    def __init__(self, max_norm: float = 1.0, bounds: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.max_norm: float = require_threshold("max_norm", max_norm)
        self.bounds: dict[str, float] = {
            pattern: require_threshold(f"bounds[{pattern!r}]", bound)
            for pattern, bound in (bounds or {}).items()
        }
        self.register_buffer("limits", None, persistent=False)

    def bind(self, names: Sequence[str]) -> None:
        """Find the bound of each parameter.

        Raises:
            ValueError: A pattern matches no name.
        """
        for pattern in self.bounds:
            if not any(fnmatchcase(name, pattern) for name in names):
                known = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")  # noqa: PLR2004
                raise ValueError(
                    f"bounds: the pattern {pattern!r} matches no parameter of {known}."
                )
        self.limits = torch.tensor([self._bound(name) for name in names], dtype=torch.float64)

    def forward(self, statistics: Statistics) -> Scale:
        norms = statistics.l2
        limits = self.limits
        if limits is None:
            if self.bounds:
                raise ValueError("Bounds by name need names: call bind(names), as a guard does.")
            limits = torch.full_like(norms, self.max_norm)
        return Scale.within(limits, norms)

    def _bound(self, name: str) -> float:
        matching = (bound for pattern, bound in self.bounds.items() if fnmatchcase(name, pattern))
        return next(matching, self.max_norm)

"""Clipping of each unit's gradient by the norm of the unit's weights."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import ClassVar

import torch
from torch import Tensor, nn

from gradcore import ScaleUnits, Statistics
from gradcore_strategies.options import require_axis, require_positive

LARGEST = sys.float_info.max

NAMED = 5
"""Parameters named in one message at most."""


class AGC(nn.Module):
    """Scale the gradient of each output unit to a small share of the norm of the unit's weights.

    With ``G`` a unit's gradient and ``W`` its weights, ``G`` is left with a norm of at most
    ``lam max(|W|, eps)``.  A unit is an index of the axis ``unit_axis``: with 0 a row of a linear
    layer, a filter of a convolution, an entry of an embedding.  A parameter of less than two
    dimensions, a bias or a gain, is one unit.

    Args:
        lam: Largest norm of a gradient in units of that of the weights, > 0.
        eps: Smallest norm that weights are taken to have, > 0: it lets those that begin as zeros
            train.
        unit_axis: Axis of the output units; 1 for a transposed convolution, -1 for layers that
            multiply from the right.
        exclude: Patterns of names of parameters to leave alone, with the wildcards of `fnmatch`.
            The paper excludes the final linear layer.

    Raises:
        ValueError: An option is out of its range; or, when a guard is made, a pattern matches no
            name.

    Source:
        A. Brock, S. De, S. L. Smith and K. Simonyan, "High-Performance Large-Scale Image
        Recognition Without Normalization", ICML 2021, arXiv:2102.06171, section 4, equation 3, and
        the authors' code (github.com/google-deepmind/deepmind-research, nfnets/agc_optax.py), which
        divides by ``max(|G|, 1e-6)``.  Popular copies guess the axis from the number of dimensions,
        or leave out ``eps``, so that weights of zeros stay zeros.
    """

    name: ClassVar[str] = "agc"

    needs: ClassVar[tuple[str, ...]] = ("unit_l2", "parameter_unit_l2")

    excluded: Tensor | None
    """Bool ``[n]``; None if nothing is excluded."""

    def __init__(
        self,
        lam: float = 0.01,
        eps: float = 1e-3,
        unit_axis: int = 0,
        exclude: str | Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.lam = require_positive("lam", lam)
        self.eps = require_positive("eps", eps)
        self.unit_axis = require_axis("unit_axis", unit_axis)
        self.exclude = [exclude] if isinstance(exclude, str) else list(exclude)
        self.register_buffer("excluded", None, persistent=False)

    def bind(self, names: Sequence[str]) -> None:
        """Find the parameters to leave alone.

        Raises:
            ValueError: A pattern matches no name.
        """
        for pattern in self.exclude:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(
                    f"exclude: the pattern {pattern!r} matches no parameter of "
                    f"{', '.join(names[:NAMED])}{' …' if len(names) > NAMED else ''}."
                )
        if self.exclude:
            left = [any(fnmatchcase(name, p) for p in self.exclude) for name in names]
            self.excluded = torch.tensor(left)

    def forward(self, statistics: Statistics) -> ScaleUnits:
        norms = statistics.unit_l2
        bounds = self.lam * statistics.parameter_unit_l2.clamp(min=self.eps)
        shrunk = bounds / norms.clamp(min=1e-6, max=LARGEST)
        factors = torch.where(norms > bounds, shrunk, 1.0)
        if self.excluded is not None:
            # The number of units is known without waiting for the device.
            left = self.excluded.repeat_interleave(statistics.units, output_size=norms.shape[0])
            factors = torch.where(left, 1.0, factors)
        return ScaleUnits(factors)

"""Parameters put together to layers: the modules that hold them."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gradcore.parameter_table import column, names_of

if TYPE_CHECKING:
    from gradcore.parameter_table import ParameterReport, Table


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """Which parameters are whose.

    A layer is judged as a whole, since a part of it may well have a gradient of nothing but
    rounding: the bias before a normalisation has, and that of the keys of an attention.
    """

    names: tuple[str, ...]
    """Of the layers, in the order in which they come first."""

    members: tuple[tuple[str, ...], ...]
    """Names of the parameters of each."""

    order: npt.NDArray[np.intp]
    """Indices of the parameters, layer by layer, ``[n]``."""

    starts: npt.NDArray[np.intp]
    """Where in ``order`` each layer begins, ``[layers]``."""

    def sums(self, numbers: Table) -> Table:
        """Sum over each layer of float64 ``[n]``: float64 ``[layers]``."""
        return np.asarray(np.add.reduceat(numbers[self.order], self.starts))

    def norms(self, numbers: Table) -> Table:
        """Euclidean norm over each layer likewise; no square overflows or underflows."""
        return np.asarray(np.hypot.reduceat(numbers[self.order], self.starts))


def layer_of(parameter: str) -> str:
    """The module that holds a parameter; of one that is on its own its name.

    ``blocks.0.mlp.weight`` is of ``blocks.0.mlp``.  The items of a list of parameters and those
    without a name of their own, ``param.0``, are a layer each.
    """
    module, _, own = parameter.rpartition(".")
    return module if module and not own.isdecimal() else parameter


@functools.lru_cache(maxsize=8)
def layers_of(names: tuple[str, ...]) -> Layers:
    """The layers that these parameters make up; at least one parameter."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        found.setdefault(layer_of(name), []).append(i)
    sizes = [len(indices) for indices in found.values()]
    return Layers(
        names=tuple(found),
        members=tuple(tuple(names[i] for i in indices) for indices in found.values()),
        order=np.array([i for indices in found.values() for i in indices], dtype=np.intp),
        starts=np.cumsum([0, *sizes[:-1]], dtype=np.intp),
    )


def gradient_norms(rows: Sequence[ParameterReport]) -> tuple[Layers, Table]:
    """The layers of a report and the norm of the gradient of each.

    Returns:
        Float64 ``[layers]``, NaN where none of a layer has a gradient or some element is not
        finite, of which nothing can be said.
    """
    layers = layers_of(names_of(rows))
    norms = column(rows, "norm")
    absent = np.isnan(norms)
    bad = column(rows, "nan") + column(rows, "posinf") + column(rows, "neginf")
    known = (layers.sums(~absent * 1.0) > 0) & (layers.sums(bad) == 0)
    return layers, np.where(known, layers.norms(np.where(absent, 0.0, norms)), math.nan)

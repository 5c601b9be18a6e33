"""Learning rates of parameters, as the groups of their optimizer have them at a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    import numpy.typing as npt

    from gradcore.parameter_table import Table


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """The learning rate of each group, and which group each parameter is in."""

    of_groups: list[Tensor | float]
    """Tensors where the optimizer has them, so that they can go to the host with the rest."""

    groups: npt.NDArray[np.intp]
    """Number of each parameter's group, ``[n]``; -1 for none."""

    def of_parameters(self, of_groups: Sequence[Any] | Table) -> Table:
        """Those of groups, now on the host, spread out: float64 ``[n]``, NaN for none."""
        return np.append(np.asarray(of_groups, dtype=np.float64), math.nan)[self.groups]


class Groups:
    """Which group of an optimizer each parameter is in; found once, since that takes its time.

    Args:
        grouped: All tensors of the optimizer, group by group.
        tensors: The parameters, in the order of the rows of a report.
        sizes: How many of ``grouped`` are in each group.
    """

    def __init__(self, grouped: list[Tensor], tensors: list[Tensor], sizes: list[int]) -> None:
        self._found_for = (grouped, tensors, sizes)
        of_each = np.repeat(np.arange(len(sizes)), sizes).tolist()
        number = {id(tensor): i for tensor, i in zip(grouped, of_each, strict=True)}
        self.numbers = np.array([number.get(id(tensor), -1) for tensor in tensors], dtype=np.intp)

    def hold(self, grouped: list[Tensor], tensors: list[Tensor], sizes: list[int]) -> bool:
        """Whether they would be the same for these very lists."""
        was_grouped, were, had = self._found_for
        return was_grouped is grouped and were is tensors and had == sizes


def rate_of(group: Mapping[str, Any]) -> Tensor | float:
    """The learning rate of a group: a tensor of one number as it is, NaN for anything else."""
    rate = group.get("lr")
    if isinstance(rate, Tensor):
        return rate.detach() if rate.numel() == 1 and not rate.is_complex() else math.nan
    return float(rate) if isinstance(rate, Real) else math.nan

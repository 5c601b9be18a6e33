"""Learning rates of parameters, as the groups of their optimizer have them at a step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gradcore.parameter_table import Table


@dataclass(slots=True, eq=False)
class Rates:
    """The learning rate of each group, and which group each parameter is in."""

    of_groups: list[Tensor | float]
    """Tensors where the optimizer has them, so that they can go to the host with the rest."""

    groups: Groups

    def of_parameters(self, of_groups: Iterable[Any]) -> Table:
        """Those of groups, now on the host, spread out: float64 ``[n]``, NaN for none."""
        return self.groups.spread([float(rate) for rate in of_groups])


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
        self._numbers = np.array([number.get(id(tensor), -1) for tensor in tensors], dtype=np.intp)
        self._spread: tuple[list[float], Table] | None = None

    def hold(self, grouped: list[Tensor], tensors: list[Tensor], sizes: list[int]) -> bool:
        """Whether they would be the same for these very lists."""
        was_grouped, were, had = self._found_for
        return was_grouped is grouped and were is tensors and had == sizes

    def spread(self, of_groups: list[float]) -> Table:
        """What groups have, for each parameter: float64 ``[n]``, NaN for none.

        The same array as long as groups have the same, as most have for many steps: only for
        reading.
        """
        if self._spread is None or self._spread[0] != of_groups:
            self._spread = of_groups, np.array([*of_groups, math.nan])[self._numbers]
        return self._spread[1]


def rate_of(group: Mapping[str, Any]) -> Tensor | float:
    """The learning rate of a group: a tensor of one number as it is, NaN for anything else."""
    rate = group.get("lr")
    if type(rate) is float:
        return rate
    if isinstance(rate, Tensor):
        return rate.detach() if rate.numel() == 1 and not rate.is_complex() else math.nan
    return float(rate) if isinstance(rate, Real) else math.nan

"""The vector that ranks add up: what every rank says of itself, then what it measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradcore.distributed import head as heads
from gradcore.distributed.head import Head, Said
from gradcore.distributed.layout import Joined, Layout
from gradcore.statistics import ALWAYS, OF_UNITS, ROWS
from gradcore.units import Units

if TYPE_CHECKING:
    from gradcore.distributed.ownership import Ownership
    from gradcore.distributed.unit_layout import UnitLayout
    from gradcore.statistics import Statistics

NONFINITE = slice(ROWS.index("nan"), ROWS.index("neginf") + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What all ranks measured."""

    gradients: Joined
    parameters: Joined | None
    """Of the parameters themselves, if they were measured."""
    units: Units | None
    """Of all units, if they were measured."""

    @property
    def differing(self) -> bool:
        """Replicas of something do not have the same non-finite elements."""
        tables = [self.gradients] if self.parameters is None else [self.gradients, self.parameters]
        return any(bool(each.differing.any()) for each in tables)


class Vector:
    """The part of this rank, float64 ``[length]``, and what the sum of all parts says.

    Args:
        ever: Names of what may be measured in a step.
        own: What this rank counts.
        rank: This one.
        ranks: All.
        norm_type: The p of ``lp``.
        units: Places of units, if they may be measured.
    """

    def __init__(
        self,
        ever: Iterable[str],
        own: Ownership,
        rank: int,
        ranks: int,
        norm_type: float,
        *,
        units: UnitLayout | None = None,
    ) -> None:
        ever = frozenset(ever)
        n = len(own.names)
        self._own, self._rank, self._ranks = own, rank, ranks
        self._head = heads.length(ranks)
        self._gradients = Layout(ever, n, rank, ranks, norm_type)
        self._parameters = Layout((), n, rank, ranks, norm_type)
        beside = self._parameters.length if "parameter_l2" in ever else 0
        self._of_units = [name for name in OF_UNITS if units is not None and name in ever]
        self.units: UnitLayout | None = units
        self._units_from = self._head + self._gradients.length + beside
        self.length: int = self._units_from
        if units is not None:
            self.length += len(self._of_units) * units.length

    def pack(self, said: Said, local: Statistics | None) -> Tensor:
        """What this rank says of itself, and what it measured: zeros where that is None."""
        device = torch.device("cpu") if local is None else local.table.device
        head = heads.packed(said, self._rank, self._ranks, device)
        vector = head.new_zeros(self.length)
        vector[: self._head] = head
        if local is None:
            return vector
        end = self._head + self._gradients.length
        table = local.table.to(head)
        vector[self._head : end] = self._gradients.pack(table, local.measured, self._own)
        if local.parameters_table is not None:
            of_parameters = local.parameters_table.to(head)
            vector[end : self._units_from] = self._parameters.pack(of_parameters, ALWAYS, self._own)
        if self.units is not None and local.per_unit is not None:
            both = {"unit_l2": local.per_unit.l2, "parameter_unit_l2": local.per_unit.parameter_l2}
            for part, name in zip(self._parts_of_units(vector), self._of_units, strict=True):
                norms = both[name]
                if norms is not None:
                    part[:] = self.units.pack(norms.to(head))
        return vector

    def head(self, sums: Tensor) -> Head:
        """What all ranks say of themselves."""
        return Head.of(sums[: self._head], self._ranks)

    def unpack(self, sums: Tensor, local: Statistics) -> Sums:
        """What all ranks measured, of that which this rank measured too."""
        end = self._head + self._gradients.length
        of_gradients = self._gradients.unpack(sums[self._head : end], local.measured, self._own)
        of_parameters = None
        if local.parameters_table is not None:
            flat = sums[end : self._units_from]
            of_parameters = self._parameters.unpack(flat, ALWAYS, self._own)
        return Sums(of_gradients, of_parameters, self._unpacked_units(sums, local))

    def _unpacked_units(self, sums: Tensor, local: Statistics) -> Units | None:
        if self.units is None or local.per_unit is None:
            return None
        parts = zip(self._of_units, self._parts_of_units(sums), strict=True)
        known = {name: self.units.unpack(part) for name, part in parts if name in local.measured}
        return Units(self.units.counts, known.get("unit_l2"), known.get("parameter_unit_l2"))

    def _parts_of_units(self, vector: Tensor) -> Sequence[Tensor]:
        return vector[self._units_from :].chunk(len(self._of_units)) if self._of_units else ()


def bad_elements(local: Statistics, before: Mapping[int, float]) -> Tensor:
    """Elements of gradients and parameters that are not finite: 0-d.

    Args:
        local: What this rank measured.
        before: Of gradients that were summed up, what was not finite in the part of this rank.
    """
    counts = local.table[NONFINITE].sum(0)
    bad = counts[-1]
    if before:
        bad = bad - counts[list(before)].sum() + sum(before.values())
    if local.parameters_table is not None:
        bad = bad + local.parameters_table[NONFINITE, -1].sum().to(bad)
    return bad


def empty_table(parameters: int) -> Tensor:
    """That of gradients which could not be measured."""
    return torch.zeros(len(ROWS), parameters + 1, dtype=torch.float64)

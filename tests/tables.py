"""The table that a measurement of gradients should fill, from the oracle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

import gradients
import oracle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

ROWS = (
    "present",
    "numel",
    "nan",
    "posinf",
    "neginf",
    "l2",
    "l1",
    "max_abs",
    "sum",
    "sum_imag",
    "zeros",
    "lp",
)
EXACT = ("numel", "nan", "posinf", "neginf", "zeros")
NORMS = ("l2", "l1", "max_abs", "lp")
BITS = {"l1": 1, "max_abs": 2, "sum": 4, "zeros": 8, "lp": 16}
ALL = sum(BITS.values())

SMALLEST = 5e-324
"""A norm next to zero may be off by one of these: there is nothing between."""


def expected(
    tensors: Sequence[Tensor],
    *,
    overflow: float = math.inf,
    replacement: oracle.Replacement | None = None,
    norm_type: float = 2.0,
) -> list[oracle.Facts]:
    """Facts about each gradient, and in the last place about all of them as one vector."""
    columns = []
    together: list[oracle.Element] = []
    for tensor in tensors:
        values = gradients.elements(tensor)
        form = gradients.FORMATS[tensor.dtype]
        columns.append(
            oracle.facts(
                values, form, overflow=overflow, replacement=replacement, norm_type=norm_type
            )
        )
        together += [
            value if replacement is None else oracle.replaced(value, replacement, form, overflow)
            for value in values
        ]
    total = oracle.facts(
        together, overflow=overflow if replacement is None else math.inf, norm_type=norm_type
    )
    counts = {
        name: sum(getattr(column, name) for column in columns)
        for name in ("nan", "posinf", "neginf")
    }
    return [*columns, oracle.Facts(**{**vars(total), **counts})]


def check(
    table: Tensor,
    tensors: Sequence[Tensor],
    *,
    needs: int = ALL,
    overflow: float = math.inf,
    replacement: oracle.Replacement | None = None,
    norm_type: float = 2.0,
) -> None:
    """Compare each measured number with the oracle's; those not asked for are NaN."""
    columns = expected(tensors, overflow=overflow, replacement=replacement, norm_type=norm_type)
    assert tuple(table.shape) == (len(ROWS), len(tensors) + 1)

    measured = {"sum_imag" if n == "sum" else n for n, bit in BITS.items() if needs & bit}
    measured |= {name for name, bit in BITS.items() if needs & bit}
    error = max((gradients.tolerance(tensor.dtype) for tensor in tensors), default=0.0)
    got = dict(zip(ROWS, table.tolist(), strict=True))
    for index, column in enumerate(columns):
        own = gradients.tolerance(tensors[index].dtype) if index < len(tensors) else error
        for name in ("numel", "nan", "posinf", "neginf", "l2", *BITS, "sum_imag"):
            number = got[name][index]
            where = f"{name} of column {index}"
            if name in BITS.keys() | {"sum_imag"} and name not in measured:
                assert math.isnan(number), where
            elif name in EXACT:
                assert number == getattr(column, name), where
            elif name in NORMS:
                # A modulus next to zero is rounded by itself before it is added up.
                least = SMALLEST * (column.numel + 1 if name == "l1" else 1)
                wanted = pytest.approx(getattr(column, name), rel=own, abs=least)
                assert number == wanted, where
            elif math.isfinite(column.l1):
                # Terms of both signs cancel: the error is relative to what was added up.
                slack = own * column.l1 + SMALLEST
                assert number == pytest.approx(getattr(column, name), rel=0, abs=slack), where

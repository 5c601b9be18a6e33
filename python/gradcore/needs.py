"""What may be asked of a measurement, and how it may be."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gradcore.statistics import ALWAYS, NEEDS, OPTIONAL
from gradcore.validation import require_order, require_threshold


def needed(needs: Iterable[str] | str) -> frozenset[str]:
    """``needs`` as a set of names that are known, ``"all"`` spelt out."""
    if not isinstance(needs, Iterable):
        raise TypeError(f"needs must be names of statistics; got {needs!r}.")
    wanted = frozenset({needs} if isinstance(needs, str) else needs)
    if "all" in wanted:
        wanted = (wanted - {"all"}) | (frozenset(OPTIONAL))
    if "sum" in wanted:
        wanted |= {"sum_imag"}
    unknown = sorted(wanted - ALWAYS - frozenset(OPTIONAL) - {"sum_imag", "norm", "nonfinite"})
    if unknown:
        raise ValueError(f"needs must be among {', '.join(OPTIONAL)}, all; got {unknown[0]!r}.")
    return wanted


def require_options(wanted: frozenset[str], overflow: float, norm_type: float) -> None:
    """Raise `ValueError` for options of `measure` that cannot be."""
    require_threshold("overflow", overflow)
    if math.isinf(require_order("norm_type", norm_type)) and "lp" in wanted:
        raise ValueError("norm_type must be finite for 'lp'; got inf. Ask for 'max_abs' instead.")


def bits_of(needs: Iterable[str]) -> int:
    """What native code is asked for beyond what it always measures."""
    return sum([NEEDS[name] for name in needs if name in NEEDS])

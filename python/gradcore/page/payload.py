"""The numbers that a page draws: arrays in base64, names as they are."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.page.thinning import drawn
from gradcore.runs.placing import colour_range, layout, meaning, starts

if TYPE_CHECKING:
    from gradcore.runs import Grid, Run

CROSSES = 500
"""Starts of non-finite stretches that are marked in the map; the cells show all."""


def payload(run: Run) -> dict[str, Any]:
    """What the script of the page reads, ready for JSON."""
    return {
        "curves": _curves(run),
        "map": None if run.grid is None else _map(run.grid, run.spacing),
    }


def _curves(run: Run) -> dict[str, str]:
    arrays = run.arrays
    count = arrays["nan"] + arrays["posinf"] + arrays["neginf"]
    curves = {name: arrays[name] for name in ("loss", "norm", "clipped_norm", "scale")}
    curves["nonfinite"] = count
    places = drawn(len(count), list(curves.values()))
    curves |= {
        "step": arrays["step"],
        "bound": run.bounds,
        "lost": (run.given_loss & ~np.isfinite(arrays["loss"])).astype(float),
        "event": run.events.astype(float),
    }
    return {name: _base64(values[places], "<f8") for name, values in curves.items()}


def _map(grid: Grid, spacing: float) -> dict[str, Any]:
    edges, order = layout(grid, spacing)
    column, row = starts(grid)
    low, high = colour_range(grid)
    return {
        "names": [name.encode("utf-8", "replace").decode() for name in grid.names],
        "edges": _base64(edges, "<f8"),
        "order": _base64(order, "<i4"),
        "first": _base64(grid.first, "<f8"),
        "last": _base64(grid.last, "<f8"),
        "columns": len(grid.first),
        "logNorm": _base64(grid.log_norm, "<f4"),
        "nonfinite": _base64(np.minimum(grid.nonfinite, 65535), "<u2"),
        "firstNonfinite": _base64(grid.first_nonfinite, "<f8"),
        "crosses": [column[:CROSSES].tolist(), row[:CROSSES].tolist()],
        "range": [low, high],
        "meaning": meaning(grid),
    }


def _base64(values: np.ndarray[Any, Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()

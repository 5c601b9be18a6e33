"""The picture can be drawn of whatever the runs may hold."""

from __future__ import annotations

import math

import pytest

from gradcore.cli.demo.faults import Fault, Kind
from gradcore.cli.demo.outcome import Run
from gradcore.cli.demo.picture import draw

pytest.importorskip("matplotlib")

FAULTS = [Fault(step, kind, 0.0, 0.0, 1) for step, kind in enumerate(Kind)]


def run(name, losses, norms, planted=()):
    return Run(name, {}, 4.6, losses[-1], losses=losses, norms=norms, planted=list(planted))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_it_is_written_in_the_format_of_its_suffix(tmp_path, suffix):
    lived = run("undisturbed", [4.0, 3.0, 2.5, 2.0, 1.9], [2.0, 1.0, 0.5, 0.4, 0.3])
    died = run("torch", [4.0, math.nan, math.nan, math.nan, math.nan], [math.nan] * 5, FAULTS)
    guarded = run("gradcore", [4.0, 3.0, 2.5, 2.0, 1.9], [2.0, 1.0, 1e25, 0.4, 0.3], FAULTS)
    path = tmp_path / f"demo{suffix}"

    draw(path, lived, died, guarded)

    first = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(first)


def test_a_run_that_ended_at_once_is_drawn_too(tmp_path):
    empty = Run("gradcore", {}, 4.6)
    path = tmp_path / "demo.png"

    draw(path, empty, empty, empty)

    assert path.stat().st_size > 0

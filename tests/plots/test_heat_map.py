"""The map has every parameter and step in its place, gaps where nothing is known."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

import recorded
import reports
from gradcore.plots.heat_map import draw_heat_map, title


def drawn(*steps):
    axes = Figure(figsize=(8, 8)).add_subplot()
    draw_heat_map(axes, recorded.run(*steps))
    axes.figure.canvas.draw()
    return axes


def test_colours_are_logarithms_of_norms_in_their_place():
    axes = drawn(*(recorded.step(n, [10.0**n, 1.0, 0.1]) for n in range(3)))
    mesh = axes.collections[0]

    np.testing.assert_allclose(mesh.get_array(), [[0, 1, 2], [0, 0, 0], [-1, -1, -1]], atol=1e-6)
    assert mesh.get_coordinates()[0, :, 0].tolist() == [0, 1, 2, 3]
    assert mesh.get_cmap().name == "viridis"


def test_zero_and_nonfinite_cells_have_layers_of_their_own():
    axes = drawn(recorded.step(0, [0.0, 1.0, 1.0], bad=[2]), recorded.step(1))
    _, zero, bad = (mesh.get_array() for mesh in axes.collections)

    assert (~np.ma.getmaskarray(zero)).tolist() == [[True, False], [False] * 2, [False] * 2]
    assert (~np.ma.getmaskarray(bad)).tolist() == [[False] * 2, [False] * 2, [True, False]]


def test_names_of_rows_that_went_bad_are_shown_and_stand_out():
    names = [f"layers.{n}.weight" for n in range(300)]
    axes = drawn(recorded.step(0, [1.0] * 300, names=names, bad=[133]))

    labels = {text.get_text(): text.get_color() for text in axes.get_yticklabels()}
    assert len(labels) <= 40
    assert labels["133.weight"] == "#D55E00"
    assert set(labels.values()) == {"#D55E00", "black"}
    assert axes.get_ylabel() == "layers.…"


def test_it_says_what_a_cell_stands_for():
    run = recorded.run(*(recorded.step(n) for n in range(2500)))
    assert title(run.grid) == "Gradient norm of each of 3 parameters"  # the last 100 have tables

    wide = recorded.run(recorded.step(0, [1.0] * 1500, names=[f"{n}" for n in range(1500)]))
    assert title(wide.grid).endswith("1500 parameters; the largest of 2 parameters a cell")


def test_without_parameters_it_says_so():
    assert "nothing of single parameters" in drawn(reports.report(0)).texts[0].get_text()


def test_norms_that_are_all_alike_or_unknown_can_be_drawn():
    drawn(recorded.step(0, [1.0, 1.0, 1.0]))
    drawn(recorded.step(0, [math.nan] * 3))

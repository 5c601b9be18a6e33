"""Names stay readable, however long and however many."""

from __future__ import annotations

from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from gradcore.plots.labels import abbreviated, label_rows, labelled, shared_prefix


def test_long_names_keep_their_end_and_some_of_their_beginning():
    short = abbreviated("model.decoder.layers.11.self_attention.query.weight", 30)

    assert len(short) == 30
    assert short.startswith("model.de")
    assert short.endswith("attention.query.weight"[-19:])
    assert abbreviated("head.weight", 30) == "head.weight"


def test_what_cannot_be_shown_is_replaced():
    assert abbreviated("a\nb\x00c") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


@pytest.mark.parametrize("count", [1, 7, 40, 41, 300, 1000])
def test_labels_are_apart_and_no_more_than_there_is_room_for(count):
    rows = labelled(count, 40)

    assert len(rows) <= 40
    assert rows[0] == 0
    assert all(b - a >= count / 40 for a, b in pairwise(rows))


def test_important_rows_come_first():
    rows = labelled(300, 40, [151, 152, 8])

    assert {151, 8} <= set(rows)
    assert 152 not in rows


def test_what_all_names_share_ends_at_a_dot():
    assert shared_prefix(["net.layers.10.weight", "net.layers.11.weight"]) == "net.layers."
    assert shared_prefix(["a.weight"]) == ""
    assert shared_prefix(["weight", "word"]) == ""


def test_names_are_no_formulas():
    axes = Figure().add_subplot()
    label_rows(axes, ["$x", r"$\frac$"], [0, 1], [1], "red")
    axes.figure.canvas.draw()

    assert [text.get_text() for text in axes.get_yticklabels()] == ["$x", r"$\frac$"]
    assert axes.get_yticklabels()[1].get_color() == "red"

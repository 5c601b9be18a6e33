"""The gain profile as a picture."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from matplotlib import image
from torch import nn

from gradcore.monitors import GradientGainMonitor
from gradcore.plots import plot_gain
from stacks import data, outputs_of, stack


def monitored(depth=5, **options):
    blocks = stack(depth)
    with GradientGainMonitor(blocks, **options) as monitor:
        outputs_of(blocks, data())[-1].sum().backward()
    return monitor


def test_every_architecture_has_its_norms_and_gains_drawn():
    monitors = {"one": monitored(), "other": monitored(7)}
    above, below = plot_gain(monitors).axes

    assert [text.get_text() for text in above.get_legend().get_texts()] == ["one", "other"]
    for line, monitor in zip(above.lines, monitors.values(), strict=True):
        assert line.get_ydata().tolist() == monitor.norms()
        assert line.get_xdata().tolist() == list(range(len(monitor.norms())))
    gains = [line for line in below.lines if line.get_linestyle() == "-"]
    for line, monitor in zip(gains, monitors.values(), strict=True):
        assert line.get_ydata().tolist() == monitor.gains()
        assert line.get_xdata()[0] == 0.5


def test_colours_and_markers_differ_and_axes_have_units():
    above, below = plot_gain({name: monitored() for name in "abcdefg"}).axes

    assert len({line.get_color() for line in above.lines}) == 7
    assert len({line.get_marker() for line in above.lines}) == 7
    assert "l2" in above.get_ylabel()
    assert "loss per unit" in above.get_ylabel()
    assert "ratio" in below.get_ylabel()
    assert "block" in below.get_xlabel()
    assert (above.get_yscale(), below.get_yscale()) == ("log", "log")


def test_missing_values_are_gaps_and_vanished_gradients_crosses():
    blocks = [nn.Linear(2, 2) for _ in range(4)]
    blocks[0].requires_grad_(False)
    nn.init.zeros_(blocks[3].weight)
    with GradientGainMonitor(blocks) as monitor:
        outputs_of(blocks, torch.ones(1, 2))[-1].sum().backward()

    above, below = plot_gain({"dead": monitor}).axes
    drawn = above.lines[0].get_ydata()
    assert [math.isnan(value) for value in drawn] == [True, True, True, False]
    (crosses,) = [line for line in below.lines if line.get_marker() == "x"]
    assert crosses.get_xdata().tolist() == [1.5, 2.5]


def test_the_picture_is_written(tmp_path):
    plot_gain({"one": monitored()}, tmp_path / "gain.png", title="title")

    height, width, _ = image.imread(tmp_path / "gain.png").shape
    assert (width, height) == (1080, 840)


def test_different_norms_are_not_compared():
    with pytest.raises(ValueError, match="one norm_type; got l1, l2"):
        plot_gain({"a": monitored(), "b": monitored(norm_type="l1")})
    with pytest.raises(ValueError, match="got none"):
        plot_gain({})


WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = None
import gradcore.plots
from gradcore.monitors import GradientGainMonitor
import torch
assert "matplotlib.figure" not in sys.modules
gradcore.plots.plot_gain({"a": GradientGainMonitor([torch.nn.Tanh()])})
"""


def test_without_matplotlib_the_error_names_the_cure():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_MATPLOTLIB], capture_output=True, text=True, check=False
    )

    assert run.returncode == 1
    assert "pip install 'gradcore[plot]'" in run.stderr

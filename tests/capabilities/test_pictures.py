"""Gradient manager, row B7, and clipping and NaN handling, the plots of row C6."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib import image

import gradcore
import training
from gradcore.cli import main


@pytest.fixture
def trained(tmp_path):
    """A guard that watched 120 steps of a real model, with a NaN in step 70, and its log."""
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    path = tmp_path / "run.jsonl"
    sink = ("jsonl", {"path": path})
    needs = ("sum", "max_abs")
    norms, losses = [], []
    with gradcore.Guard(net, max_norm=0.3, checks="default", sinks=[sink], needs=needs) as guard:
        for step in range(120):
            losses.append(training.backward(net, step).item())
            flat = torch.cat([p.grad.reshape(-1) for p in net.parameters()])
            norms.append(float(np.linalg.norm(flat.double().numpy())))
            if step == 70:
                training.plant(net[2].weight, math.nan, math.nan)
            guard.step(optimizer, loss=losses[-1])
    return guard, path, np.array(norms), np.array(losses)


def by_title(figure):
    return {axes.get_title() or axes.get_title(loc="left"): axes for axes in figure.axes}


def curve(axes, label):
    (line,) = [line for line in axes.lines if line.get_label().startswith(label)]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_b7_loss_norm_nonfinite_count_and_clip_ratio_over_time(trained):
    guard, _, norms, losses = trained
    pictures = by_title(guard.history.plot())

    np.testing.assert_allclose(pictures["Loss"].lines[0].get_ydata(), losses, rtol=1e-6)
    steps, before = curve(pictures["Gradient norm"], "before")
    assert np.isnan(before[70])
    good = np.arange(120) != 70
    np.testing.assert_allclose(before[good], norms[good], rtol=1e-6)
    _, after = curve(pictures["Gradient norm"], "after")
    np.testing.assert_allclose(after[good], np.minimum(norms, 0.3)[good], rtol=1e-6)
    assert steps.tolist() == list(range(120))
    counted = curve(pictures["Non-finite elements of gradients"], "NaN")
    assert [values.tolist() for values in counted] == [[70], [2]]
    clipped = (norms > 0.3) & good
    steps, factors = curve(pictures["Clipping"], "factor")
    assert steps.tolist() == np.flatnonzero(clipped).tolist()
    np.testing.assert_allclose(factors, 0.3 / norms[clipped], rtol=1e-6)


def test_b7_norm_distribution_mean_deviation_extremes_and_correlation(trained):
    guard, _, norms, losses = trained
    pictures = by_title(guard.history.plot())

    bars = pictures["Distribution of the norm"].containers[0]
    assert sum(bar.get_height() for bar in bars) == 119
    elements = pictures["Elements of gradients"]
    for label in ("largest", "standard deviation", "|mean|"):
        assert np.isfinite(curve(elements, label)[1]).sum() == 100  # the last hundred have tables
    axes = pictures["Rank correlation of metrics (Spearman)"]
    names = [text.get_text() for text in axes.get_yticklabels()]
    good = np.arange(120) != 70
    ranks = [np.argsort(np.argsort(values[good])) for values in (losses, norms)]
    shown = axes.images[0].get_array()[names.index("loss"), names.index("norm")]
    assert shown == pytest.approx(np.corrcoef(ranks)[0, 1], abs=1e-6)


def test_b7_the_log_of_a_run_is_drawn_with_the_parameters_of_every_step(trained, tmp_path):
    _, path, *_ = trained

    assert main(["report", str(path), "-o", str(tmp_path / "run.png")]) == 0
    assert image.imread(tmp_path / "run.png").std() > 0.1


def test_b7_the_page_about_a_log_says_which_parameter_broke_when_and_what_to_do(trained, tmp_path):
    _, path, *_ = trained

    assert main(["report", str(path), "-o", str(tmp_path / "run.html")]) == 0
    top = (tmp_path / "run.html").read_text().partition("<dl")[0].rpartition("</style>")[2]
    assert "Not finite at step 70" in top
    assert "<code>2.weight</code> went bad first" in top
    assert "<strong>What to do:</strong>" in top


def test_c6_a_wrapper_plots_its_histories(tmp_path):
    """The loop itself has not a line that knows of gradcore."""
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    guard = gradcore.Guard(net, max_norm=0.5, nonfinite="zero")
    guard.attach(optimizer)
    for seed in range(30):
        training.backward(net, seed)
        if seed == 9:
            training.plant(net[0].bias, math.inf)
        optimizer.step()

    figure = guard.history.plot(tmp_path / "run.png")
    assert image.imread(tmp_path / "run.png").std() > 0.1
    pictures = by_title(figure)
    heat = pictures["Gradient norm of each of 3 parameters"]
    (crosses,) = [line for line in heat.lines if line.get_marker() == "x"]
    assert (list(crosses.get_xdata()), list(crosses.get_ydata())) == ([9], [1])

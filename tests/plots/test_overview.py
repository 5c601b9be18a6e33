"""The whole figure, of runs of every kind."""

from __future__ import annotations

import subprocess
import sys

import pytest
from matplotlib import image

import recorded
import reports
from gradcore.history import History
from gradcore.plots import plot_run


def test_all_pictures_are_there_with_titles_and_axes():
    figure = plot_run(recorded.run(*(recorded.step(n, loss=1.0) for n in range(5))), title="a $run")

    titles = {axes.get_title() or axes.get_title(loc="left") for axes in figure.axes}
    assert titles >= {
        "Loss", "Gradient norm", "Non-finite elements of gradients", "Clipping",
        "Gradient norm of each of 3 parameters", "Distribution of the norm",
        "Elements of gradients", "Rank correlation of metrics (Spearman)",
    }  # fmt: skip
    assert figure.get_suptitle() == "a $run: steps 0 to 4"


@pytest.mark.parametrize(
    "steps",
    [
        [reports.report(0)],
        [recorded.step(0, bad=[0, 1, 2])],
        [recorded.step(5, [0.0, 0.0, 0.0]), recorded.step(6, [0.0, 0.0, 0.0])],
        [recorded.step(0, [1e-200, 1e200, 1.0], loss=-1e200), recorded.step(1, loss=1e200)],
        [recorded.step(0, names=["$\\frac{", "<b>\n", "\x00"])],
    ],
    ids=["scalars alone", "all bad", "all zero", "extremes", "hostile names"],
)
def test_whatever_happened_can_be_drawn(steps, tmp_path):
    plot_run(recorded.run(*steps), tmp_path / "run.png")

    assert image.imread(tmp_path / "run.png").shape[:2] == (1870, 1650)


def test_a_history_draws_itself(tmp_path):
    history = History(10)
    for n in range(4):
        history.append(recorded.step(n, loss=2.0 - n))

    figure = history.plot(tmp_path / "run.svg")
    assert (tmp_path / "run.svg").read_text().startswith("<?xml")
    assert figure.axes[0].lines[0].get_ydata().tolist() == [2.0, 1.0, 0.0, -1.0]
    with pytest.raises(ValueError, match="empty"):
        History(10).plot()


WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = None
import torch, gradcore
net = torch.nn.Linear(2, 2)
guard = gradcore.Guard(net)
net(torch.ones(1, 2)).sum().backward()
guard.apply()
guard.history.plot()
"""


def test_without_matplotlib_the_error_names_the_cure():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_MATPLOTLIB], capture_output=True, text=True, check=False
    )

    assert run.returncode == 1
    assert "pip install 'gradcore[plot]'" in run.stderr

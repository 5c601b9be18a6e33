"""docs/debugging.md: its pictures are of the run on the page."""

from __future__ import annotations

import pytest
import torch
from matplotlib import image
from torch import nn

import picturing
from gradcore.monitors import trace_nonfinite


def test_all_of_its_pictures_can_be_taken_anew(tmp_path):
    """`python tests/picturing.py` does; here they are compared in size alone."""
    picturing.take(tmp_path)

    taken = {path.name: image.imread(path).shape for path in tmp_path.glob("*.png")}
    shown = {path.name: image.imread(path).shape for path in picturing.DOCS.glob("debugging_*.png")}
    assert taken == shown
    assert all(f"({name})" in picturing.PAGE.read_text(encoding="utf-8") for name in shown)


class Applied(nn.Module):
    """A function of a parameter that is zero."""

    def __init__(self, function):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.function = function

    def forward(self, x):
        return self.function(self.weight * x).sum()


def traced(function):
    model = Applied(function)
    with trace_nonfinite(model, action="log") as tracer:
        model(torch.ones(3)).backward()
    return tracer.event


@pytest.mark.parametrize(
    ("root", "operation"),
    [
        (lambda x: x.square().sum().sqrt(), "SqrtBackward0"),
        (lambda x: x.square().sum() ** 0.5, "PowBackward0"),
    ],
)
def test_a_root_at_zero_is_called_as_the_last_table_says(root, operation):
    event = traced(root)

    assert (event.direction, event.operation) == ("backward", operation)
    assert event.inputs[0].largest != 0.0


def test_the_norm_of_torch_is_safe_at_zero():
    assert traced(torch.linalg.vector_norm) is None


@pytest.mark.parametrize(
    "branch", [torch.sqrt, torch.log, lambda x: x / x], ids=["sqrt", "log", "division"]
)
def test_zero_times_infinity_shows_by_gradients_of_zero_that_went_in(branch):
    event = traced(lambda x: torch.where(x > 0, branch(x), x))

    assert event.direction == "backward"
    assert event.inputs[0].smallest == event.inputs[0].largest == 0.0
    assert not event.outputs[0].finite


def test_a_safe_argument_of_the_branch_mends_it():
    assert traced(lambda x: torch.where(x > 0, torch.where(x > 0, x, 1.0).log(), x)) is None

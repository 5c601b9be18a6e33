"""Gradient gain between blocks: rows E1 to E7 of what gradcore must be able to do."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from matplotlib import image
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

import gradcore
from gradcore.monitors import GradientGainMonitor
from stacks import NORMS, data, outputs_of, stack

EXAMPLE = Path(__file__).parents[2] / "examples" / "gradient_gain.py"


def test_e1_norms_and_gains_are_those_of_the_gradients_at_the_blocks_outputs():
    blocks, x = stack(5), data()
    outputs = outputs_of(blocks, x)
    gradients = torch.autograd.grad(outputs[-1].square().sum(), outputs)
    norms = [float(gradient.norm()) for gradient in gradients]

    monitor = gradcore.monitors.GradientGainMonitor(
        blocks, norm_type="l2", strict_single_backward=True, eps=1e-30
    )
    with monitor:
        outputs_of(blocks, x)[-1].square().sum().backward()

    assert monitor.norms() == pytest.approx(norms, rel=1e-12)
    assert monitor.gains() == pytest.approx([norms[i - 1] / norms[i] for i in range(1, 5)])
    assert monitor.log_gains() == pytest.approx(
        [math.log(norms[i - 1]) - math.log(norms[i]) for i in range(1, 5)]
    )


@pytest.mark.parametrize("norm_type", NORMS)
def test_e2_four_norms(norm_type):
    blocks, x = stack(2), data()
    outputs = outputs_of(blocks, x)
    gradients = torch.autograd.grad(outputs[-1].square().sum(), outputs)

    with GradientGainMonitor(blocks, norm_type=norm_type) as monitor:
        outputs_of(blocks, x)[-1].square().sum().backward()
    assert monitor.norms() == pytest.approx([NORMS[norm_type](g.numpy()) for g in gradients])


def test_e3_strict_refuses_a_second_backward_and_permissive_takes_it():
    blocks, x = stack(2), data()
    with GradientGainMonitor(blocks) as strict:
        outputs_of(blocks, x)[-1].sum().backward()
        second = outputs_of(blocks, x)[-1].sum()
        with pytest.raises(gradcore.GradcoreError, match="reset"):
            second.backward()
        strict.reset()
        outputs_of(blocks, x)[-1].sum().backward()
        first = strict.norms()

    with GradientGainMonitor(blocks, strict_single_backward=False) as permissive:
        for factor in (1.0, 3.0):
            (factor * outputs_of(blocks, x)[-1].sum()).backward()
    assert permissive.norms() == pytest.approx([3.0 * norm for norm in first])


def test_e4_every_key_of_the_summary():
    """Gains, block by block: 4, 0.25, 1, then none through a dead block and none beyond it."""
    factors = [1.0, 0.0, 1.0, 0.25, 4.0]
    blocks = [nn.Linear(1, 1, bias=False) for _ in factors]
    for block, factor in zip(blocks, factors, strict=True):
        nn.init.constant_(block.weight, factor)
    with GradientGainMonitor([*blocks, nn.Tanh()]) as monitor:
        outputs_of(blocks, torch.ones(1, 1))[-1].sum().backward()

    assert monitor.norms() == [0.0, 1.0, 1.0, 4.0, 1.0, None]
    assert monitor.gains() == [0.0, 1.0, 0.25, 4.0, None]
    assert monitor.summary_stats() == {
        "mean_gain": 5.25 / 4,
        "min_gain": 0.0,
        "max_gain": 4.0,
        "mean_log_gain": 0.0,
        "num_amplifying": 1,
        "num_damping": 2,
        "num_healthy": 1,
        "num_vanishing": 0,
        "num_missing": 1,
    }
    assert "4 <- 5: missing" in monitor.report()
    monitor.reset()
    assert monitor.norms() == [None] * 6


def test_e4_where_nothing_arrives_the_gain_is_infinite():
    blocks = [nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)]
    nn.init.zeros_(blocks[2].weight)
    with GradientGainMonitor(blocks) as monitor:
        outputs_of(blocks, torch.ones(1, 1))[-1].sum().backward()

    assert monitor.gains() == [math.inf, 0.0]
    assert monitor.summary_stats()["num_vanishing"] == 1


FORMS = {
    "tensor": (lambda y: y, lambda out: out),
    "tuple": (lambda y: (y, None), lambda out: out[0]),
    "list": (lambda y: [y], lambda out: out[0]),
    "dict": (lambda y: {"hidden": y}, lambda out: out["hidden"]),
    "Hugging Face": (
        lambda y: BaseModelOutput(last_hidden_state=y),
        lambda out: out.last_hidden_state,
    ),
}


class Formed(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.pack, self.unpack = FORMS[form]

    def forward(self, x):
        return self.pack(self.inner(x))


@pytest.mark.parametrize("series", [list, nn.ModuleList, lambda blocks: nn.Sequential(*blocks)])
@pytest.mark.parametrize("form", FORMS)
def test_e5_outputs_of_every_form_in_series_of_every_kind(form, series):
    blocks = [Formed(form) for _ in range(3)]
    blocks[0].requires_grad_(False)
    x, outputs = torch.ones(2, 3), []
    with GradientGainMonitor(series(blocks)) as monitor:
        for block in blocks:
            x = block.unpack(block(x))
            outputs.append(x)
        x.exp().sum().backward(retain_graph=True)

    gradients = torch.autograd.grad(x.exp().sum(), outputs[1:])
    expected = [None, *(pytest.approx(float(g.double().norm())) for g in gradients)]
    assert monitor.norms() == expected
    assert monitor.summary_stats()["num_missing"] == 1


def test_e6_hooks_are_removed_and_numbers_are_detached():
    blocks, x = stack(2), data()
    with GradientGainMonitor(blocks) as monitor:
        outputs_of(blocks, x)[-1].sum().backward()
    before = monitor.norms()
    (2.0 * outputs_of(blocks, x)[-1].sum()).backward()

    assert monitor.norms() == before
    assert all(type(norm) is float for norm in before)


def test_e7_architectures_are_compared_side_by_side_with_a_picture(tmp_path):
    """Without warm-up a deep Post-LN transformer starves its first blocks, a Pre-LN one does not.

    Xiong et al., "On Layer Normalization in the Transformer Architecture", ICML 2020.
    """
    run = subprocess.run(
        [sys.executable, EXAMPLE, "--out", "gain.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    pattern = r"(\S+), step (\d+) .* norm (\S+) at the last block, (\S+) at the first"
    reaching = {
        (name, int(step)): float(first) / float(last)
        for name, step, last, first in re.findall(pattern, run.stdout)
    }
    assert list(reaching) == [("Pre-LN", 1), ("Pre-LN", 30), ("Post-LN", 1), ("Post-LN", 30)]
    assert reaching["Pre-LN", 30] > 0.5
    assert reaching["Post-LN", 30] < 0.01
    assert image.imread(tmp_path / "gain.png").shape == (840, 1080, 4)

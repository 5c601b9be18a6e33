"""docs/moving.md: every name that people know is there, and every line of gradcore's does it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch

PAGE = (Path(__file__).parents[2] / "docs" / "moving.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| torch |", "| there |"))
]
RUN = [row for row in ROWS if re.fullmatch(r"`[^`]+`", row[1])]

PRELUDE = """
import functools, math, torch
from torch import nn
import gradcore
from gradcore import numerics, plots
model = nn.Linear(2, 1, bias=False)
nn.init.ones_(model.weight)
optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
loss = model(torch.tensor([[3.0, 4.0]])).sum()
loss.backward(retain_graph=True)
guard = gradcore.Guard(model)
batch = torch.ones(1, 2)
x = torch.eye(2)
net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
nn.init.zeros_(net[0].bias)
"""

NAMES = """
GradientSafetyModule apply_safety get_statistics safe_complex_backward clip_grad_norm_safe
grad_norm_history nan_count_history clip_count_history NonHermitianPotential DissipativeBKLayer
create_gradient_manager safe_backward GradientConfig GradientManager GradientMonitor GradientClipper
NaNInfHandler get_training_summary plot_training_curves save_training_log check_gradient_health
update_statistics plot_gradient_statistics clip_gradients check_and_fix_gradients
check_and_fix_parameters EarlyStoppingConfig LRSchedulerConfig GradientManagementConfig
TrainingOptimizer optimize_training
GradientClippingConfig NaNHandlingConfig NumericalStabilityManager ClippingType NaNHandlingType
create_training_wrapper save_histories plot_histories plot_stability_history plot_clipping_history
plot_nan_history stability_score
GradientHealthMonitor check_gradients log_statistics get_gradient_flow_summary
apply_gradient_clipping ActivationMonitor register_hooks detect_dead_neurons StableLossFunctions
stable_norm stable_sqrt stable_norm_based_similarity get_stable_loss_function ImprovedActivations
gelu swish mish leaky_relu EnhancedTrainingMixin setup_gradient_monitoring check_and_log_gradients
on_after_backward replace_loss_function_with_stable_version calculate_loss
LightningCLIPModule MyTrainingModule training_step configure_optimizers extract_features
compute_contrastive_loss run_model
GradientGainMonitor norms gains log_gains summary_stats report reset close
clip_grad_norm_ clip_grad_value_ get_total_norm clip_grads_with_norm_
"""
"""Classes and functions that people come from."""


@pytest.mark.parametrize("name", NAMES.split())
def test_the_page_has_every_name_on_the_side_that_people_come_from(name):
    assert any(re.search(rf"\b{name}\b", row[0]) for row in ROWS)


@pytest.mark.parametrize("row", RUN, ids=lambda row: row[0][:50])
@pytest.mark.filterwarnings("ignore:Anomaly Detection:UserWarning")
def test_each_line_does_it(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {}
    exec(PRELUDE, names)  # noqa: S102 - ours
    if "scaler=scaler" in row[1]:
        exec('scaler = torch.amp.GradScaler("cpu"); scaler.scale(loss).backward()', names)  # noqa: S102

    given = run(row[1].strip("`"), names)

    if len(row) > 2 and row[2]:
        assert repr(given) == row[2].strip("`")


def run(code: str, names: dict[str, object]) -> object:
    """What the last statement gives, if it gives anything."""
    body = ast.parse(code).body
    if not isinstance(body[-1], ast.Expr):
        exec(code, names)  # noqa: S102
        return None
    exec(compile(ast.Module(body[:-1], []), "<page>", "exec"), names)  # noqa: S102
    return eval(compile(ast.Expression(body[-1].value), "<page>", "eval"), names)  # noqa: S307


def test_most_lines_are_run():
    assert len(RUN) > 0.9 * len(ROWS)

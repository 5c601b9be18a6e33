"""A many-modality CLIP: row D1 of what gradcore must be able to do, where its monitor logs to."""

from __future__ import annotations

import math

import pytest
import torch
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import gradcore
import training
import wandb_file


class Towers(nn.Module):
    """Six encoders of which each sees its own features."""

    def __init__(self):
        super().__init__()
        names = ("image", "text", "audio", "video", "depth", "touch")
        self.towers = nn.ModuleDict({name: nn.Linear(8, 4) for name in names})

    def forward(self, features):
        together = torch.stack([tower(features) for tower in self.towers.values()])
        return together.prod(0).sum().square()


class Vanishing:
    """A check as a user would write it: norms of a layer below 1e-7."""

    name = "vanishing_layers"

    def __call__(self, report, history):
        names = tuple(row.name for row in report.parameters if row.norm and row.norm < 1e-7)
        if names:
            message = f"{len(names)} layers have a norm below 1e-7."
            yield gradcore.Finding("vanishing_layers", "warning", message, "Scale the loss.", names)


def run(sink):
    """Ten steps looked at every second one; a NaN in step 4, a vanishing layer in step 8."""
    torch.manual_seed(0)
    net = Towers()
    guard = gradcore.Guard(net, sinks=[sink], checks=[Vanishing()], every=2)
    for step in range(10):
        net.zero_grad()
        loss = net(torch.randn(16, 8))
        loss.backward()
        if step == 4:
            training.plant(net.towers["audio"].weight)
        if step == 8:
            net.towers["text"].bias.grad.fill_(1e-12)
        guard.apply(loss=loss)
    guard.close()
    return guard.history


def test_d1_norms_of_layers_events_and_recommendations_reach_tensorboard(tmp_path):
    history = run(("tensorboard", {"log_dir": tmp_path, "per_parameter": True}))

    events = EventAccumulator(str(tmp_path), size_guidance={"histograms": 0}).Reload()
    assert [event.step for event in events.Scalars("gradcore/norm")] == [0, 2, 4, 6, 8]
    shown = [event.value for event in events.Scalars("gradcore/norm/towers.image.weight")]
    rows = [
        next(r for r in report.parameters if r.name == "towers.image.weight") for report in history
    ]
    assert shown == pytest.approx([row.norm for row in rows], rel=1e-6)
    assert [event.value for event in events.Scalars("gradcore/nonfinite")] == [0, 0, 1, 0, 0]
    assert [event.value for event in events.Scalars("gradcore/warnings")] == [0, 0, 0, 0, 1]
    assert len(events.Histograms("gradcore/log10_norms")) == 5
    (text,) = events.Tensors("gradcore/findings")
    assert b"Scale the loss." in text.tensor_proto.string_val[0]


def test_d1_the_same_reaches_weights_and_biases(tmp_path, monkeypatch):
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    options = {"project": "clip", "mode": "offline", "per_parameter": True}
    history = run(("wandb", options))
    wandb.teardown()

    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    logged = wandb_file.logged(path)
    assert [row["gradcore/step"] for row in logged] == [0, 2, 4, 6, 8]
    assert [row["gradcore/nonfinite"] for row in logged] == [0, 0, 1, 0, 0]
    assert [row["gradcore/norm"] for row in logged] == pytest.approx([r.norm for r in history])
    assert all(row["gradcore/log10_norms"]["_type"] == "histogram" for row in logged)
    assert math.isfinite(logged[0]["gradcore/norm/towers.touch.bias"])

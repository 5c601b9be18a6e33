"""A guarded step under Lightning Fabric is that of a plain loop."""

from __future__ import annotations

import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision

import framework_loops as loops
import gradcore
import training
from gradcore.integrations.lightning import step

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # advice about plugins
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of its own dependencies
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def train(fabric, **optimizer_options):
    net = training.model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05, **optimizer_options)
    guard = gradcore.Guard(net, **loops.OPTIONS)
    net, optimizer = fabric.setup(net, optimizer)
    skipped = []
    for number, batch in enumerate(loops.batches()):
        optimizer.zero_grad()
        loss = loops.loss_of(net, batch)
        fabric.backward(loss)
        loops.plant(net, number)
        before = training.state(net, optimizer)
        report = step(fabric, guard, optimizer, loss=loss)
        assert report.skipped == (training.state(net, optimizer) == before)
        skipped += [number] if report.skipped else []
    assert skipped == loops.SKIPPED
    return net, guard


def test_training_is_that_of_a_plain_loop_bit_for_bit():
    net, guard = train(Fabric(accelerator="cpu", devices=1))

    wanted, _, plain = loops.plain([[batch] for batch in loops.batches()])
    assert loops.told(guard) == loops.told(plain)
    assert training.freeze(list(net.parameters())) == training.freeze(list(wanted.parameters()))


@pytest.mark.parametrize("fused", [False, True])
def test_mixed_precision_is_unscaled_before_it_is_looked_at(fused):
    """Fabric's own clipping refuses fused optimizers here."""
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    precision = MixedPrecision("16-mixed", "cpu", scaler)
    _, guard = train(Fabric(accelerator="cpu", devices=1, plugins=[precision]), fused=fused)

    _, _, plain = loops.plain([[batch] for batch in loops.batches()])
    assert guard.history[0].norm == pytest.approx(plain.history[0].norm, rel=1e-2)
    assert guard.history[0].loss_scale == 256.0
    assert scaler.get_scale() == 64.0  # halved by each of the two

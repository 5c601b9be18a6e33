"""Fabric on two ranks, FSDP2 by its own strategy and DDP, comes to what one process does."""

from __future__ import annotations

import csv

import pytest

import launched
import rank_loops as loops

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(150)]

PROGRAM = """
from lightning.fabric import Fabric
from lightning.fabric.loggers import CSVLogger
from lightning.fabric.plugins import MixedPrecision
from lightning.fabric.strategies import DDPStrategy, ModelParallelStrategy
from torch.distributed.fsdp import fully_shard

import gradcore
import rank_loops as loops
import training
from gradcore.integrations.lightning import step
from gradcore.integrations.values import values_of

def sharded(net, mesh):
    fully_shard(net, mesh=mesh["data_parallel"])
    return net

def options_of(kind):
    if kind == "fsdp2":
        sizes = {"data_parallel_size": 2, "tensor_parallel_size": 1}
        return {"strategy": ModelParallelStrategy(sharded, **sizes)}
    scaler = torch.amp.GradScaler("cpu", init_scale=loops.SCALE)
    return {
        "strategy": DDPStrategy(process_group_backend="gloo"),
        "plugins": [MixedPrecision("16-mixed", "cpu", scaler)],
    }

def train(kind):
    logger = CSVLogger(folder, kind, version=0, flush_logs_every_n_steps=1)
    fabric = Fabric(accelerator="cpu", devices=2, loggers=[logger], **options_of(kind))
    fabric.launch()
    net = fabric.setup_module(training.model())
    optimizer = fabric.setup_optimizers(torch.optim.SGD(net.parameters(), lr=loops.RATE))
    guard = gradcore.Guard(net, max_norm=loops.MAX_NORM)
    parts = [loops.half(batch, rank) for batch in loops.batches(2)]
    for first, second in zip(parts[::2], parts[1::2]):
        optimizer.zero_grad()
        with fabric.no_backward_sync(net):
            fabric.backward(loops.loss_of(net, first) / 2)
        fabric.backward(loops.loss_of(net, second) / 2)
        report = step(fabric, guard, optimizer)
        fabric.log_dict(values_of(guard, report), step=report.step)
    kinds = sorted({type(parameter).__name__ for parameter in net.parameters()})
    scales = [report.loss_scale for report in guard.history]
    return [loops.told(guard.history), loops.elements(net), kinds, scales]

result = {kind: train(kind) for kind in ("fsdp2", "ddp 16-mixed")}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of logs, and what each rank says of each kind."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, launched.two_ranks(PROGRAM, folder)


def logged(folder, kind):
    """The norms in the file of Fabric's own logger."""
    with (folder / kind / "version_0/metrics.csv").open(encoding="utf-8") as file:
        return [float(row["gradcore/norm"]) for row in csv.DictReader(file)]


def test_fsdp2_with_accumulated_gradients_clips_and_skips_as_one_process_does(trained):
    folder, ranks = trained
    first, second = (rank["fsdp2"] for rank in ranks)

    assert first == second
    steps, elements, kinds, _ = first
    assert kinds == ["DTensor"]
    net, guard = loops.plain(2)
    loops.check(steps, guard.history, 1e-5)
    assert elements == pytest.approx(loops.elements(net), rel=1e-5, abs=1e-5)
    assert logged(folder, "fsdp2") == pytest.approx([norm for norm, *_ in steps], rel=1e-6)


def test_ddp_in_float16_with_accumulated_gradients_backs_off_as_one_process_does(trained):
    folder, ranks = trained
    first, second = (rank["ddp 16-mixed"] for rank in ranks)

    assert first == second
    steps, elements, _, scales = first
    net, guard = loops.plain(2, half_precision=True)
    loops.check(steps, guard.history, 1e-2)
    assert elements == pytest.approx(loops.elements(net), abs=2e-3)
    assert scales == [report.loss_scale for report in guard.history]
    assert scales[-1] < scales[0]
    assert logged(folder, "ddp 16-mixed") == pytest.approx([n for n, *_ in steps], rel=1e-6)

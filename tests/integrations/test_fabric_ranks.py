"""Fabric on two ranks, FSDP2 by its own strategy, comes to what one process does."""

from __future__ import annotations

import pytest

import launched
import rank_loops as loops

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(150)]

PROGRAM = """
from lightning.fabric import Fabric
from lightning.fabric.strategies import ModelParallelStrategy
from torch.distributed.fsdp import fully_shard

import gradcore
import rank_loops as loops
import training
from gradcore.integrations.lightning import step

def sharded(net, mesh):
    fully_shard(net, mesh=mesh["data_parallel"])
    return net

strategy = ModelParallelStrategy(sharded, data_parallel_size=2, tensor_parallel_size=1)
fabric = Fabric(accelerator="cpu", devices=2, strategy=strategy)
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
    step(fabric, guard, optimizer)
kinds = sorted({type(parameter).__name__ for parameter in net.parameters()})
result = [loops.told(guard.history), loops.elements(net), kinds]
"""


def test_fsdp2_with_accumulated_gradients_clips_and_skips_as_one_process_does(tmp_path):
    first, second = launched.two_ranks(PROGRAM, tmp_path)

    assert first == second
    steps, elements, kinds = first
    assert kinds == ["DTensor"]
    net, guard = loops.plain(2)
    loops.check(steps, guard.history, 1e-5)
    assert elements == pytest.approx(loops.elements(net), rel=1e-5, abs=1e-5)

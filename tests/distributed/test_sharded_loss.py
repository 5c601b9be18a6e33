"""A loss that is a DTensor itself, as losses of tensor parallel models are."""

from __future__ import annotations

import pytest

import processes
from distributed.programs import TRAINING

PARALLEL = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel, loss_parallel, parallelize_module,
)

mesh = init_device_mesh("cpu", (SIZE,))
head, alone = nn.Linear(7, 6), nn.Linear(7, 6)
alone.load_state_dict(head.state_dict())
inputs, labels = torch.randn(5, 7), torch.tensor([0, 5, 2, 3, 1])
expected = nn.functional.cross_entropy(alone(inputs), labels)
parallelize_module(
    head, mesh, ColwiseParallel(output_layouts=Shard(-1), use_local_output=False)
)
guard = gradcore.Guard(head, max_norm=0.01)
with loss_parallel():
    loss = nn.functional.cross_entropy(head(inputs), labels)
    loss.backward()
report = guard.apply(loss=loss)
said = []
for given in (loss, torch.full_like(loss, math.inf)):
    other = guard.apply(loss=given if rank == 1 else loss.full_tensor())
    said.append([other.loss, other.nonfinite_ranks, other.skipped])
for parameter in head.parameters():
    parameter.grad = torch.ones_like(parameter)
part = DTensor.from_local(torch.ones(()), mesh, [Partial()], run_check=False)
try:
    guard.apply(loss=part if rank == 1 else 1.0)
except gradcore.DistributedError as error:
    said.append(str(error))
kind = type(loss).__name__, str(loss.placements)
result = [kind, report.loss, expected.item(), report.nonfinite_ranks, said]
"""


def test_the_loss_of_a_parallel_model_is_taken_as_it_is(tmp_path):
    first, second = processes.both(TRAINING + PARALLEL, tmp_path)

    assert first == second
    kind, loss, expected, bad, (again, infinite, refused) = first
    assert kind == ["DTensor", "(Replicate(),)"]
    assert loss == pytest.approx(expected, rel=1e-6)
    assert bad is None
    assert again == [pytest.approx(expected, rel=1e-6), None, False]
    assert infinite == [float("inf"), "1", True]
    assert refused.startswith("Rank 1 could not take its step. TypeError: loss is placed (Partial")

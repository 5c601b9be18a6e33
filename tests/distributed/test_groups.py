"""Guards beside each other: jobs in groups of their own, two networks, parameters that freeze."""

from __future__ import annotations

import numpy as np
import pytest

import processes
from distributed.programs import TRAINING

pytestmark = pytest.mark.distributed

JOBS = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

job = rank // 2
mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("job", "shard"))["shard"]
net, alone = network(), network()
fully_shard(net, mesh=mesh)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
guard = gradcore.Guard(net, max_norm=0.01 if job else 1e9)
reports, wholes = [], []
for seed in range(3 + 4 * job):  # the second job goes on when the first is over
    alone.load_state_dict({n: t.full_tensor() for n, t in net.state_dict().items()})
    backward(net, 10 * job + seed)
    backward(alone, 10 * job + seed)
    wholes.append(torch.cat([t.grad.double().flatten() for t in alone.parameters()]).tolist())
    if rank == 3 and seed == 1:
        net[0].weight.grad._local_tensor[0, 0] = math.nan
    reports.append(guard.step(optimizer))
norms = [report.norm for report in reports]
verdicts = [[report.skipped, report.clipped, report.nonfinite_ranks] for report in reports]
result = [norms, verdicts, wholes, elements(net)]
"""


def test_two_jobs_at_once_do_not_mix(tmp_path):
    """Of different lengths, bounds and faults; ranks are counted within a job."""
    ranks = processes.each_of(4, TRAINING + JOBS, tmp_path)

    assert ranks[0] == ranks[1] != ranks[2] == ranks[3]
    for (norms, _, wholes, _), faulty in ((ranks[0], set()), (ranks[2], {1})):
        wanted = [np.linalg.norm(whole) for whole in wholes]
        for step, (norm, expected) in enumerate(zip(norms, wanted, strict=True)):
            assert step in faulty or norm == pytest.approx(expected, rel=1e-6)
    assert ranks[0][1] == [[False, False, None]] * 3
    clipped, skipped = [False, True, None], [True, False, "1"]
    assert ranks[2][1] == [clipped, skipped, *[clipped] * 5]


GAN = """
nets = [sharded(), sharded()]
optimizers = [torch.optim.SGD(net.parameters(), lr=0.1) for net in nets]
guards = [gradcore.Guard(net, max_norm=0.01) for net in nets]
alone = network()
norms, verdicts = [], []
for seed in range(6):
    for number, (net, optimizer, guard) in enumerate(zip(nets, optimizers, guards)):
        if number == 1 and seed == 3:  # from now on the first layer stays as it is
            net[0].requires_grad_(False)
        if number == 1 and seed == 5:
            net[0].requires_grad_(True)
        optimizer.zero_grad(set_to_none=seed % 2 == 0)
        if number == 1 and seed == 3:
            optimizer.zero_grad()
        alone.load_state_dict({n: t.full_tensor() for n, t in net.state_dict().items()})
        torch.manual_seed(100 + seed)
        batch = torch.randn(4, 7)
        for each in (net, alone):
            each.zero_grad() if each is alone else None
            each(batch).square().sum().backward()
        if number == 0 and seed == 2 and rank == 1:
            net[0].weight.grad._local_tensor[0, 0] = math.nan
        counted = alone.parameters() if net[0].weight.requires_grad else alone[2].parameters()
        whole = math.sqrt(sum(p.grad.double().square().sum().item() for p in counted))
        report = guard.step(optimizer)
        norms.append([report.norm, whole])
        verdicts.append(report.skipped)
result = [norms, verdicts, [elements(net) for net in nets]]
"""


def test_two_networks_have_a_verdict_each_and_layers_may_freeze_and_thaw(tmp_path):
    """With gradients set to zero and to None in turn."""
    first, second = processes.both(TRAINING + GAN, tmp_path)

    assert first == second
    norms, verdicts, _ = first
    faulty = 4  # the first network in the third round
    assert verdicts == [number == faulty for number in range(12)]
    for number, (norm, whole) in enumerate(norms):
        assert number == faulty or norm == pytest.approx(whole, rel=1e-6)

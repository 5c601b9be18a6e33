"""A model under tensor parallelism and FSDP2 at once: pieces of pieces, on two meshes."""

from __future__ import annotations

import math

import pytest

import processes
from distributed.programs import TRAINING

MODEL = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(6), nn.Linear(6, 8), nn.Linear(8, 6)

    def forward(self, x):
        return x + self.down(self.up(self.norm(x)).tanh())

def model():
    torch.manual_seed(1)
    return nn.Sequential(Block(), Block(), nn.Linear(6, 3)).double()

def parallel(mesh):
    net = model()
    for block in net[:2]:
        parallelize_module(block, mesh["tp"], {"up": ColwiseParallel(), "down": RowwiseParallel()})
        fully_shard(block, mesh=mesh["dp"])
    return fully_shard(net, mesh=mesh["dp"])

def learn(net, batch):
    net.zero_grad()
    (net(batch) * torch.arange(3.0)).square().sum().backward()

def whole(net):
    return [p.grad.full_tensor().flatten().tolist() for p in net.parameters()]
"""

TRAIN = """
mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
net, alone = parallel(mesh), model()
optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, foreach=False)
guard = gradcore.Guard(net, max_norm=0.01)
steps = []
for step in range(8):
    alone.load_state_dict({n: t.full_tensor() for n, t in net.state_dict().items()})
    torch.manual_seed(step)
    batch = torch.randn(8, 6).double()
    learn(net, batch.chunk(2)[mesh["dp"].get_local_rank()])
    learn(alone, batch)
    apart = [(p.grad / 2).flatten().tolist() for p in alone.parameters()]  # FSDP2 takes the mean
    gradients = whole(net)
    if step == 2 and rank == 3:
        net[1].up.weight.grad._local_tensor[0, 0] = math.nan
    del reduced[:]
    report = guard.step(optimizer)
    rows = [row.norm for row in report.parameters]
    left = None if report.skipped else whole(net)
    steps.append([told(report), report.norm, rows, gradients, apart, left, len(reduced),
        report.skipped, report.nonfinite_ranks, report.first_nonfinite])
kinds = sorted({str(p.placements) for p in net.parameters()})
counts = sorted({float(state["step"]) for state in optimizer.state.values()})
result = [steps, elements(net), kinds, counts]
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return processes.each_of(4, TRAINING + MODEL + TRAIN, tmp_path_factory.mktemp("ranks"))


def exact(elements):
    """The Euclidean norm."""
    return math.sqrt(math.fsum(x * x for x in elements))


def test_every_layout_of_such_a_model_is_there(ranks):
    kinds = ranks[0][2]
    assert "(_StridedShard(dim=0, sf=2), Shard(dim=0))" in kinds
    assert "(Shard(dim=0), Shard(dim=1))" in kinds
    assert "(Shard(dim=0), Replicate())" in kinds
    assert "(Shard(dim=0),)" in kinds  # of norms, on the mesh of FSDP2 alone


def test_ranks_say_and_hold_the_same_bits_in_every_step(ranks):
    assert all(repr(rank) == repr(ranks[0]) for rank in ranks)
    assert all(map(math.isfinite, ranks[0][1]))


def test_norms_are_those_of_whole_tensors_to_the_last_bits(ranks):
    for _, norm, rows, gradients, apart, _, collectives, skipped, *_ in ranks[0][0]:
        elements = [x for each in gradients for x in each]
        assert collectives == 1
        if skipped:
            continue
        assert norm == pytest.approx(exact(elements), rel=4e-16)
        assert rows == pytest.approx([exact(each) for each in gradients], rel=4e-16)
        assert norm == pytest.approx(exact(x for each in apart for x in each), rel=1e-12)


def test_every_piece_is_clipped_by_the_same_factor(ranks):
    for _, norm, _, gradients, _, left, *_ in ranks[0][0]:
        for before, after in zip(gradients, left or (), strict=left is not None):
            assert after == pytest.approx([x * 0.01 / norm for x in before], rel=1e-12)


def test_a_fault_in_one_piece_of_a_piece_is_skipped_by_all_and_named(ranks):
    verdicts = [step[-3:] for step in ranks[0][0]]
    assert verdicts[2] == [True, "3", "1.up.weight"]
    assert verdicts[:2] + verdicts[3:] == [[False, None, None]] * 7
    assert ranks[0][3] == [7.0]  # the step that was skipped is none to the optimizer


SEQUENCE = """
from torch.distributed.tensor import Shard
from torch.distributed.tensor.parallel import SequenceParallel

def sequential():
    torch.manual_seed(1)
    return nn.Sequential(Block(), Block(), nn.LayerNorm(6)).double()

def in_parts(mesh):
    net = sequential()
    up = ColwiseParallel(input_layouts=Shard(1))
    down = RowwiseParallel(output_layouts=Shard(1))
    plan = {"norm": SequenceParallel(), "up": up, "down": down}
    for block in net[:2]:
        parallelize_module(block, mesh["tp"], plan)
        fully_shard(block, mesh=mesh["dp"])
    parallelize_module(net, mesh["tp"], {"2": SequenceParallel()})
    return fully_shard(net, mesh=mesh["dp"])

def loss_of(net, batch):
    loss = (net(batch) - 1.0).pow(4).sum()
    return getattr(loss, "full_tensor", lambda: loss)()

mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
net, alone = in_parts(mesh), sequential()
optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, foreach=False)
guard = gradcore.Guard(net, max_norm=0.01)
steps = []
for step in range(3):
    alone.load_state_dict({n: t.full_tensor() for n, t in net.state_dict().items()})
    net.zero_grad()
    alone.zero_grad()
    torch.manual_seed(step)
    batch = torch.randn(4, 6, 6).double()
    # Each pair of ranks has half of the batch, and each of the two half of every sequence.
    part = batch.chunk(2)[mesh["dp"].get_local_rank()].chunk(2, 1)[mesh["tp"].get_local_rank()]
    loss_of(net, part).backward()
    loss_of(alone, batch).backward()
    apart = [(p.grad / 2).flatten().tolist() for p in alone.parameters()]
    del reduced[:]
    report = guard.step(optimizer)
    steps.append([told(report), report.norm, apart, whole(net), len(reduced)])
kinds = sorted({str(p.placements) for n, p in net.named_parameters() if "norm" in n})
result = [steps, elements(net), kinds]
"""


def test_norms_of_sequences_that_ranks_share_are_reduced_and_counted_once(tmp_path):
    """Sequence parallelism under FSDP2, as large models are trained."""
    ranks = processes.each_of(4, TRAINING + MODEL + SEQUENCE, tmp_path)

    assert ranks == [ranks[0]] * 4
    steps, _, kinds = ranks[0]
    assert kinds == ["(Shard(dim=0), Replicate())"]
    for _, norm, apart, left, collectives in steps:
        assert norm == pytest.approx(exact(x for each in apart for x in each), rel=1e-12)
        assert collectives == 1
        for before, after in zip(apart, left, strict=True):
            assert after == pytest.approx([x * 0.01 / norm for x in before], rel=1e-9, abs=1e-15)

"""Pipeline stages: other parameters on every rank, or none that have gradients."""

from __future__ import annotations

import math

import pytest

import processes
from distributed.programs import TRAINING

STAGES = """
def stage(sizes, value=None):
    parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
    torch.manual_seed(rank)
    for parameter in parameters:
        parameter.grad = torch.randn(len(parameter)) if value is None else value(parameter)
    named = [(f"stage{rank}.{i}", parameter) for i, parameter in enumerate(parameters)]
    return gradcore.Guard(named, max_norm=1.0, process_group=dist.group.WORLD), parameters

def step(sizes, value=None):
    guard, parameters = stage(sizes, value)
    before = [p.grad.tolist() for p in parameters if p.grad is not None]
    del reduced[:]
    report = guard.apply()
    after = [p.grad.tolist() for p in parameters if p.grad is not None]
    return [told(report), report.norm, len(reduced)], before, after

uneven = step([3 + rank] * (rank + 1))
idle = step([4], lambda p: None if rank == 2 else torch.ones_like(p))
result = [uneven, idle]
"""


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    return processes.each_of(4, TRAINING + STAGES, tmp_path_factory.mktemp("stages"))


def flat(lists):
    return [x for each in lists for x in each]


def exact(elements):
    """The Euclidean norm."""
    return math.sqrt(math.fsum(x * x for x in elements))


def test_stages_of_unlike_numbers_and_sizes_have_the_norm_of_all_of_them(stages):
    uneven = [rank[0] for rank in stages]
    assert [said for said, *_ in uneven] == [uneven[0][0]] * 4
    _, norm, collectives = uneven[0][0]
    elements = flat(flat(before) for _, before, _ in uneven)
    assert len(elements) == 3 + 2 * 4 + 3 * 5 + 4 * 6
    assert norm == pytest.approx(exact(elements), rel=4e-16)
    assert collectives == 1
    left = flat(flat(after) for *_, after in uneven)
    assert left == pytest.approx([x / norm for x in elements], rel=1e-6)


def test_a_stage_that_has_no_gradients_waits_for_nobody_and_counts_nothing(stages):
    idle = [rank[1] for rank in stages]
    assert [said for said, *_ in idle] == [idle[0][0]] * 4
    _, norm, collectives = idle[0][0]
    assert norm == pytest.approx(12**0.5, rel=4e-16)  # 3.4641016
    assert collectives == 1
    assert [after for *_, after in idle] == [[pytest.approx([12**-0.5] * 4)]] * 2 + [[]] + [
        [pytest.approx([12**-0.5] * 4)]
    ]


PIPELINE = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.distributed.tensor import distribute_tensor

mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("pp", "dp"))
place, part = mesh.get_coordinate()

class Model(nn.Module):
    '''An embedding, two layers of one shape, and the embedding again to say what comes next.'''

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.layers = nn.ModuleDict({str(i): nn.Linear(6, 6) for i in range(2)})

    def forward(self, x):
        if "0" in self.layers:
            x = self.embedding(x)
        for layer in self.layers.values():
            x = layer(x).tanh()
        return x @ self.embedding.weight.T if "1" in self.layers else x

def model():
    torch.manual_seed(1)
    return Model().double()

def stage():
    net = model()
    del net.layers[str(1 - place)]
    return fully_shard(net, mesh=mesh["dp"])

def loss_of(said, wanted):
    return nn.functional.cross_entropy(said.flatten(0, 1), wanted.flatten())

def learn(schedule, batch):
    optimizer.zero_grad()
    if place == 0:
        schedule.step(batch[:, :-1])
    else:
        schedule.step(target=batch[:, 1:])
    # Of the embedding each stage has its own part of the gradient, as everywhere else.
    local = net.embedding.weight.grad._local_tensor
    all_reduce(local, group=mesh["pp"].get_group())

net, alone = stage(), model()
optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
single = torch.optim.SGD(alone.parameters(), lr=0.5)
guard = gradcore.Guard(net, max_norm=0.1, process_group=dist.group.WORLD)
stage = PipelineStage(net, place, 2, torch.device("cpu"), group=mesh["pp"].get_group())
schedule = ScheduleGPipe(stage, n_microbatches=2, loss_fn=loss_of)
steps = []
for step in range(6):
    torch.manual_seed(step)
    batch = torch.randint(9, (8, 5))
    learn(schedule, batch.chunk(2)[part])
    single.zero_grad()
    loss_of(alone(batch[:, :-1]), batch[:, 1:]).backward()
    if step == 3 and rank == 3:
        net.layers["1"].bias.grad._local_tensor[0] = math.nan
    del reduced[:]
    report = guard.step(optimizer)
    whole = torch.cat([p.grad.flatten() for p in alone.parameters()])
    norm = whole.norm().item()
    if not report.skipped:
        for p in alone.parameters():
            p.grad *= min(1.0, 0.1 / norm)
        single.step()
    # The learning rate of a row is known on the ranks that step it.
    rows = sorted((r.name, r.numel, r.norm, r.nan, r.scale) for r in report.parameters)
    steps.append([rows, report.norm, norm, len(reduced), report.clipped_norm, report.skipped,
        report.nonfinite_ranks, report.first_nonfinite])
wanted = {n: t.flatten().tolist() for n, t in alone.named_parameters()}
held = {n: t.full_tensor().flatten().tolist() for n, t in net.named_parameters()}
result = [steps, held, {name: wanted[name] for name in held}]
"""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    return processes.each_of(4, TRAINING + PIPELINE, folder)


def test_stages_of_shards_train_as_the_whole_model_does_on_one_process(pipeline):
    """Layers of the same shape are two, and the embedding on both stages is one."""
    assert all(repr(rank[0]) == repr(pipeline[0][0]) for rank in pipeline)
    for rows, norm, wanted, collectives, _, skipped, *_ in pipeline[0][0]:
        assert skipped or norm == pytest.approx(wanted, rel=1e-12)
        assert collectives == 1
        layers = [f"layers.{i}.{kind}" for i in range(2) for kind in ("bias", "weight")]
        assert [name for name, *_ in rows] == ["embedding.weight", *layers]
    for _, held, wanted in pipeline:
        for name, elements in held.items():
            assert elements == pytest.approx(wanted[name], rel=1e-9, abs=1e-12)


def test_both_stages_keep_the_same_embedding_to_the_bit(pipeline):
    embeddings = [held["embedding.weight"] for _, held, _ in pipeline]
    assert embeddings == [embeddings[0]] * 4


def test_a_fault_on_one_shard_of_one_stage_is_skipped_by_both(pipeline):
    verdicts = [step[-3:] for step in pipeline[0][0]]
    assert verdicts[3] == [True, "3", "layers.1.bias"]
    assert verdicts[:3] + verdicts[4:] == [[False, None, None]] * 5

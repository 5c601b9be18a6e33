"""What is wrong on one rank is an error on all of them, and no rank waits for another."""

from __future__ import annotations

import json

import pytest

import processes
from distributed.programs import TRAINING

START = """
net = network()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
world = dist.group.WORLD
before = elements(net)
backward(net)
"""

END = """
try:
    step()
    said = ["no error"]
except gradcore.DistributedError as error:
    said = [str(error), elements(net) == before]
"""

ON_A_MESH = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
mesh = init_device_mesh("cpu", (2,))
whole = nn.Parameter(DTensor.from_local(torch.ones(2), mesh, [Replicate()]))
"""

FAULTS = {
    "max_norm": (
        "step = lambda: gradcore.safe_step(optimizer, max_norm=1.0 + rank, process_group=world)",
        "Ranks differ in 'clip': it is global_norm(max_norm=1.0",
    ),
    "later": (
        """
guard = gradcore.Guard(net, max_norm=1.0, process_group=world)
guard.step(optimizer)
before = elements(net)
guard.clip = type(guard.clip)(max_norm=1.0 + rank)
step = lambda: guard.step(optimizer)
""",
        "global_norm(max_norm=2.0",
    ),
    "gradient": (
        """
weight = torch.ones(2, 2) if rank == 0 else torch.ones(2, 2).to_sparse_csr()
weight.grad = weight.clone()
named = [*net.named_parameters(), ("weight", weight)]
step = lambda: gradcore.Guard(named, max_norm=0.1, process_group=world).apply()
""",
        "Rank 1 could not take its step. TypeError: The gradient of 'weight' cannot be measured",
    ),
    "loss": (
        """
step = lambda: gradcore.safe_step(optimizer, loss=torch.ones(1 + rank), process_group=world)
""",
        "Rank 1 could not take its step. ValueError: loss must be one number",
    ),
    "frozen": (
        """
if rank == 1:
    net[0].bias.grad = None
step = lambda: gradcore.safe_step(optimizer, process_group=world)
""",
        "'param.1' has a gradient on some of the ranks",
    ),
    "shape": (
        """
odd = nn.Parameter(torch.zeros(2 + rank))
step = lambda: gradcore.Guard([odd], process_group=world).apply()
""",
        "'param.0' is torch.float32 of shape [2] on rank 0 and torch.float32 of shape [3] on rank",
    ),
    "memory": (
        """
guard = gradcore.Guard(net, clip="ema", process_group=world)
for _ in range(3):
    guard.step(torch.optim.SGD(net.parameters(), lr=0.0))
state = guard.state_dict()
for name, value in state["clip"]["memory"].items():
    state["clip"]["memory"][name] = value + rank
guard.load_state_dict(state)
step = guard.apply
""",
        "Ranks differ in 'memory of clip': it is ",
    ),
    "units": (
        """
guard = gradcore.Guard(net, needs="unit_l2", process_group=world)
guard.measuring.unit_axis = rank
step = guard.apply
""",
        "Ranks differ in 'unit_axis': it is 0 on rank 0 and 1 on rank 1",
    ),
    "no such units": (
        """
guard = gradcore.Guard(net, needs="unit_l2", process_group=world)
guard.measuring.unit_axis = 2
step = guard.apply
""",
        "Rank 0 could not take its step. ValueError: ",
    ),
    "placement": (
        ON_A_MESH
        + """
whole = nn.Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))
whole.grad = distribute_tensor(torch.ones(4), mesh, [Replicate()])
step = lambda: gradcore.Guard([whole]).apply()
""",
        "The gradient of 'param.0' is placed (Replicate(),) and the parameter (Shard(dim=0),)",
    ),
    "largest": (
        ON_A_MESH
        + """
whole.grad = DTensor.from_local(torch.ones(2), mesh, [Partial("max")])
step = lambda: gradcore.Guard([whole]).apply()
""",
        "The gradient of 'param.0' is placed (Partial(max),) and the parameter (Replicate(),)",
    ),
    "partial on one": (
        ON_A_MESH
        + """
whole.grad = DTensor.from_local(torch.ones(2), mesh, [Partial() if rank else Replicate()])
step = lambda: gradcore.Guard([whole]).apply()
""",
        "'param.0' is torch.float32 and complete on rank 0 and torch.float32, to be reduced by sum",
    ),
    "partial gone on one": (
        ON_A_MESH
        + """
guard = gradcore.Guard([whole])
whole.grad = DTensor.from_local(torch.ones(2), mesh, [Partial()])
guard.apply()
whole.grad = None if rank else DTensor.from_local(torch.ones(2), mesh, [Partial()])
step = guard.apply
""",
        "'param.0' has a gradient on some of the ranks",
    ),
    "partial later on one": (
        ON_A_MESH
        + """
guard = gradcore.Guard([whole])
whole.grad = distribute_tensor(torch.ones(2), mesh, [Replicate()])
guard.apply()
if rank:
    whole.grad = DTensor.from_local(torch.ones(2), mesh, [Partial()])
step = guard.apply
""",
        "'param.0' is torch.float32 and complete on rank 0 and torch.float32, to be reduced by sum",
    ),
}


EACH = """
def said_of(source):
    known = dict(globals())
    exec(source, known)
    return known["said"]

result = {fault: said_of(source) for fault, source in json.loads(sys.argv[3]).items()}
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each rank says of each fault, all in the same two processes: an error ends nothing."""
    programs = {fault: START + program + END for fault, (program, _) in FAULTS.items()}
    return processes.both(TRAINING + EACH, tmp_path_factory.mktemp("said"), json.dumps(programs))


@pytest.mark.parametrize("fault", FAULTS)
def test_all_ranks_raise_the_same_error_and_change_nothing(fault, said):
    first, second = (rank[fault] for rank in said)

    assert first == second
    assert FAULTS[fault][1] in first[0]
    assert first[1]


CHANGED = """
net = network()
guard = gradcore.Guard(net, max_norm=1.0, process_group=dist.group.WORLD)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
backward(net)
guard.step(optimizer)
net[2] = nn.Linear(5, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
backward(net, 1)
whole = torch.cat([t.grad.double().flatten() for t in net.parameters()]).norm().item()
report = guard.step(optimizer)
extra = nn.Parameter(torch.ones(2))
if rank == 0:  # a stage of its own grows
    net.register_parameter("extra", extra)
    optimizer.add_param_group({"params": [extra]})
backward(net, 2)
extra.grad = torch.ones(2)
grown = guard.step(optimizer)
result = [told(report), grown.norm, report.norm, whole, [row.name for row in grown.parameters]]
"""


def test_parameters_that_come_later_are_taken_in_by_all(tmp_path):
    first, second = processes.both(TRAINING + CHANGED, tmp_path)

    assert first[:2] == second[:2]
    assert first[2] == pytest.approx(first[3], rel=1e-7)
    assert sorted(first[4]) == sorted(["extra", "0.weight", "0.bias", "2.weight", "2.bias"])

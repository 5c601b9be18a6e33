"""A mistake on one rank, before anything is measured, is the same error on all of them."""

from __future__ import annotations

import json

import pytest

import processes
from distributed.programs import TRAINING

START = """
from torch.amp import GradScaler

class Broken(torch.Tensor):  # fails in whatever is asked of it
    @classmethod
    def __torch_function__(cls, function, *rest):
        raise RuntimeError("out of memory")

net = network()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
guard = gradcore.Guard(net, max_norm=0.1, process_group=dist.group.WORLD)
good = lambda: guard.step(optimizer)
backward(net)
"""

END = """
if later:
    good()
    backward(net, 1)
before = elements(net)
gradients = [p.grad.tolist() for p in net.parameters()]
try:
    step() if rank == 1 else good()
    said = ["no error"]
except gradcore.DistributedError as error:
    unchanged = elements(net) == before
    unchanged = unchanged and [p.grad.tolist() for p in net.parameters()] == gradients
    said = [str(error), unchanged, type(error.__cause__).__name__]
undo()
said.append(told(good()))
"""

OPTIONS = """
world = {"process_group": dist.group.WORLD}
good = lambda: gradcore.safe_step(optimizer, max_norm=1.0, **world)
"""

FAULTS = {
    "no optimizer": ("step = lambda: guard.step(net)", "TypeError: A guard steps an optimizer"),
    "LBFGS": (
        "step = lambda: guard.step(torch.optim.LBFGS(net.parameters()))",
        "TypeError: LBFGS evaluates the loss several times",
    ),
    "not guarded": (
        """
other = torch.optim.SGD([*net.parameters(), nn.Parameter(torch.ones(2))], lr=0.1)
step = lambda: guard.step(other)
""",
        "GradcoreError: SGD steps 1 parameters that are not guarded: param.4",
    ),
    "not guarded, applied": (
        """
other = torch.optim.SGD([*net.parameters(), nn.Parameter(torch.ones(2))], lr=0.1)
step = lambda: guard.apply(optimizer=other)
""",
        "GradcoreError: SGD steps 1 parameters that are not guarded: param.4",
    ),
    "another guard": (
        """
other = torch.optim.SGD(net.parameters(), lr=0.1)
handle = gradcore.Guard(net).attach(other)
step = lambda: guard.step(other)
""",
        "GradcoreError: This SGD is guarded by another guard already",
    ),
    "unused scaler": (
        "step = lambda: guard.step(optimizer, scaler=GradScaler('cpu'))",
        "ScalerError: The scaler has scaled no loss yet",
    ),
    "no scaler": (
        "step = lambda: guard.step(optimizer, scaler=2.0)",
        "TypeError: scaler must be a torch.amp.GradScaler; got a float",
    ),
    "whose scaler": (
        "step = lambda: guard.apply(scaler=GradScaler('cpu'))",
        "TypeError: A scaler knows gradients by their optimizer",
    ),
    "scaler used twice": (
        """
scaler = GradScaler("cpu", init_scale=1.0)
scaler.scale(torch.ones(()))
other = torch.optim.SGD(net.parameters(), lr=0.0)
def step():
    scaler.step(other)
    guard.step(other, scaler=scaler)
""",
        "ScalerError: This SGD has stepped since the last update of the scaler",
    ),
    "scaled and attached": (
        """
handle = guard.attach(optimizer)
def step():
    optimizer.grad_scale = torch.ones(())
    optimizer.step()
def undo():
    optimizer.grad_scale = None
""",
        "GradcoreError: A GradScaler hands its scaled gradients to a fused optimizer",
    ),
    "loss": (
        "step = lambda: guard.step(optimizer, loss=torch.ones(2))",
        "ValueError: loss must be one number",
    ),
    "no memory": (
        "step = lambda: guard.step(optimizer, loss=torch.ones(()).as_subclass(Broken))",
        "RuntimeError: out of memory",
    ),
    "option": (
        OPTIONS + "step = lambda: gradcore.safe_step(optimizer, max_norm=-1.0, **world)",
        "ValueError: max_norm must be",
    ),
    "unknown option": (
        OPTIONS + "step = lambda: gradcore.safe_step(optimizer, max_nrom=1.0, **world)",
        "TypeError: safe_step() has no option 'max_nrom'. Did you mean 'max_norm'?",
    ),
    "guard and option": (
        "step = lambda: gradcore.safe_step(optimizer, guard=guard, max_norm=2.0)",
        "ValueError: guard is given, so max_norm would be ignored",
    ),
}

EACH = """
def said_of(source, later):
    known = dict(globals(), later=later, undo=lambda: None)
    exec(source, known)
    return known["said"]

programs = json.loads(sys.argv[3])
result = {fault: [said_of(source, later) for later in (0, 1)] for fault, source in programs.items()}
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    programs = {fault: START + program + END for fault, (program, _) in FAULTS.items()}
    return processes.both(TRAINING + EACH, tmp_path_factory.mktemp("said"), json.dumps(programs))


@pytest.mark.parametrize("later", [0, 1], ids=["in the first step", "in a later step"])
@pytest.mark.parametrize("fault", FAULTS)
def test_all_ranks_raise_the_same_error_change_nothing_and_can_go_on(fault, later, said):
    (words, unchanged, _, after), (*here, cause, after_here) = (rank[fault][later] for rank in said)

    assert words.startswith(f"Rank 1 could not take its step. {FAULTS[fault][1]}")
    assert here == [words, unchanged] == [words, True]
    assert cause == FAULTS[fault][1].partition(":")[0]
    assert after == after_here


SWITCHED = """
net = network()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
world = {"process_group": dist.group.WORLD}
said = []
for step in range(8):
    backward(net, step)
    odd = {3: {"max_norm": 2.0}, 5: {"max_norm": 1.0, "needs": "l1"}}.get(step, {"max_norm": 1.0})
    options = odd if rank or step == 6 else {"max_norm": 1.0}
    try:
        said.append(gradcore.safe_step(optimizer, **options, **world).norm)
    except gradcore.DistributedError as error:
        said.append(str(error))
result = [said, elements(net)]
"""


def test_options_of_one_rank_that_change_are_an_error_and_may_change_back(tmp_path):
    (said, after), (others, after_others) = processes.both(TRAINING + SWITCHED, tmp_path)

    assert said == others
    assert after == after_others
    wrong = {3: "Ranks differ in 'clip'", 5: "Ranks differ in 'statistics'"}
    for step, words in enumerate(said):
        assert words.startswith(wrong[step]) if step in wrong else isinstance(words, float)

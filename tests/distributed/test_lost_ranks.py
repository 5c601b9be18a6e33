"""A rank that is killed, stopped or raises ends the others with an error, and never with a hang."""

from __future__ import annotations

import json
import re
import signal

import pytest

import processes
from distributed.programs import TRAINING

pytestmark = pytest.mark.distributed

SECONDS = 10
"""The time-out of the group; gloo tells of a broken connection at once, and of silence then."""

PROGRAM = f"""
import signal, time
group = dist.new_group(timeout=timedelta(seconds={SECONDS}))
net = network() if sys.argv[3] == "replicas" else sharded()
options = {{"process_group": group}} if sys.argv[3] == "replicas" else {{}}
guard = gradcore.Guard(net, clip="ema", **options)
optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)

def local(tensors):
    return [getattr(t, "_local_tensor", t).detach().double().flatten().tolist() for t in tensors]

def memory():
    states = [t for state in optimizer.state.values() for t in state.values()]
    learnt = repr(guard.state_dict()["clip"])
    return [local([*net.parameters(), *states]), learnt, guard.steps, len(guard.history)]

def end(number):
    os.kill(os.getpid(), number)
    time.sleep(100)  # it is over, or this process sleeps

for seed in range(3):
    backward(net, seed)
    guard.step(optimizer)
"""

LAST_STEP = """
before, start = memory(), time.monotonic()
try:
    backward(net, 3)
    start = time.monotonic()
    guard.step(optimizer)
    said = "no error"
except RuntimeError as error:
    said = str(error)
print(json.dumps([said, time.monotonic() - start, memory() == before]), flush=True)
os._exit(7)
"""

# Its gradients are measured, and the others are in the collective.
IN_THE_COLLECTIVE = """
if rank == 1:
    dist.all_reduce = lambda *arguments, **keywords: end({number})
"""

IN_BACKWARD = """
if rank == 1:
    next(net.parameters()).register_hook(lambda gradient: end({number}))
"""

IN_USER_CODE = """
if rank == 1:
    backward(net, 3)
    raise ValueError("a mistake of the user's")
"""


def endings(program, folder, kind):
    """Return codes, and what was said, of three ranks; none is waited for longer than a minute."""
    ranks = processes.started(3, TRAINING + PROGRAM + program + LAST_STEP, folder, kind)
    said = {}
    try:
        for rank in (0, 2, 1):
            if rank == 1 and "SIGSTOP" in program:
                ranks[rank].kill()  # it sleeps
            said[rank] = ranks[rank].communicate(timeout=60)
    finally:
        for process in ranks:
            process.kill()
    return [process.returncode for process in ranks], said


def check_survivors(codes, said, *, within):
    """Each has an error of its own, in time, and has stepped nowhere."""
    assert [codes[0], codes[2]] == [7, 7], said
    for rank in (0, 2):
        words, seconds, kept = json.loads(said[rank][0].splitlines()[-1])
        assert re.search("[Cc]onnection|[Tt]imed out|[Tt]imeout", words), words
        assert seconds < within
        assert kept


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    ("moment", "kind"),
    [(IN_THE_COLLECTIVE, "shards"), (IN_THE_COLLECTIVE, "replicas"), (IN_BACKWARD, "replicas")],
    ids=["collective of shards", "collective of replicas", "backward of replicas"],
)
def test_a_killed_rank_ends_the_others_with_an_error(moment, kind, tmp_path):
    codes, said = endings(moment.format(number="signal.SIGKILL"), tmp_path, kind)

    assert codes[1] == -signal.SIGKILL
    check_survivors(codes, said, within=SECONDS)


@pytest.mark.timeout(150)
def test_a_rank_that_falls_silent_ends_the_others_when_their_time_is_up(tmp_path):
    program = IN_THE_COLLECTIVE.format(number="signal.SIGSTOP")
    codes, said = endings(program, tmp_path, "replicas")

    assert codes[1] == -signal.SIGKILL  # by the test: it would sleep for ever
    check_survivors(codes, said, within=4 * SECONDS)


@pytest.mark.timeout(150)
def test_a_rank_that_raises_in_user_code_ends_the_others_with_an_error(tmp_path):
    codes, said = endings(IN_USER_CODE, tmp_path, "shards")

    assert codes[1] != 0
    assert "a mistake of the user's" in said[1][1]
    check_survivors(codes, said, within=SECONDS)

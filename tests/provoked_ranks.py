"""The same on two real ranks, of which each must say the same."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import processes
from provoked import Said

PROGRAM = """
sys.path.insert(0, sys.argv[3])
from provided import PRELUDE
from provoked import Said

def heard(code):
    names = {"rank": rank}
    exec(PRELUDE + sys.argv[5], names)
    said = Said(code)
    said.hear(code, names)
    return said.words, sorted(said.sites)

result = [heard(code) for code in json.loads(sys.argv[4])]
"""

ON_RANKS = """
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
world = dist.group.WORLD
mesh = init_device_mesh("cpu", (2,))

def tensor(local, placement=Replicate(), mesh=mesh):
    return nn.Parameter(DTensor.from_local(local, mesh, [placement], run_check=False))
"""


def provoke_together(codes: list[str]) -> list[Said]:
    """Run pieces of code on both of two ranks, one after the other in the same two processes.

    An error must leave both in step, so that the next piece can begin, and say the same on both.
    """
    here = str(Path(__file__).parent)
    with tempfile.TemporaryDirectory() as folder:
        first, second = processes.both(PROGRAM, Path(folder), here, json.dumps(codes), ON_RANKS)
    said = []
    for code, (words, sites), (others, _) in zip(codes, first, second, strict=True):
        both = words if words == others else f"rank 0: {words}\nrank 1: {others}"
        said.append(Said(code, both, {(file, line) for file, line in sites}))
    return said

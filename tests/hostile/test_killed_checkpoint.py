"""A run that is killed while it writes a checkpoint goes on from the last one, bit for bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

PROGRAM = '''
import hashlib, json, os, signal, sys
from pathlib import Path

import torch
import gradcore

folder, steps, last, moment = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


class Torn:
    """A file whose writer is killed in the middle of it."""

    def __init__(self, path):
        self.file = path.open("wb", buffering=0)

    def write(self, data):
        self.file.write(bytes(data)[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    def flush(self):
        self.file.flush()


def die(when):
    if guard.steps == last and moment == when:
        os.kill(os.getpid(), signal.SIGKILL)


torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
guard = gradcore.Guard(
    model,
    clip="adaptive",
    nonfinite=("adaptive", {"snapshot_every": None, "skip_from": 2}),
    checks="default",
    sinks=[("jsonl", {"path": folder / "run.jsonl"})],
)
checkpoint = folder / "checkpoint.pt"
if checkpoint.exists():
    saved = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    guard.load_state_dict(saved["guard"])
while guard.steps < steps:
    generator = torch.Generator().manual_seed(guard.steps)
    x = torch.randn(4, 8, generator=generator)
    if guard.steps % 5 >= 3:
        x[0] = float("nan")  # two steps of five
    optimizer.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    guard.step(optimizer, loss=loss)
    die("before it saves")
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "guard": guard.state_dict(),
    }
    tears = guard.steps == last and moment == "while it saves"
    torch.save(state, Torn(folder / "checkpoint.new") if tears else folder / "checkpoint.new")
    die("before the new one takes its place")
    os.replace(folder / "checkpoint.new", checkpoint)
guard.close()


def digest(value):
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.detach().contiguous().numpy().tobytes()).hexdigest()
    if isinstance(value, dict):
        return {str(key): digest(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [digest(item) for item in value]
    return repr(value)


print(json.dumps(digest(state)))
'''

STEPS = 40
MOMENTS = ("before it saves", "while it saves", "before the new one takes its place")


def run(folder, last=0, moment="never"):
    """The program up to its end, or to the moment when it is killed."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(STEPS), str(last), moment]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.timeout(500)
def test_a_run_killed_around_a_checkpoint_ends_as_if_it_never_had_been(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    wanted = run(whole)
    assert wanted.returncode == 0, wanted.stderr

    # In a streak of non-finite steps, and after it.
    for last, moment in zip((9, 20, 34), MOMENTS, strict=True):
        assert run(killed, last, moment).returncode == -signal.SIGKILL
    torn = (killed / "checkpoint.new").read_bytes()
    ended = run(killed)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == json.loads(wanted.stdout)
    assert torn

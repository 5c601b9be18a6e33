"""A run that is killed without a chance to clean up loses no step that it had finished."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys

import pytest

import gradcore

TRAINING = """
import sys, torch, gradcore
kind, path = sys.argv[1:]
torch.manual_seed(0)
net = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(20)))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
guard = gradcore.Guard(net, max_norm=1.0, sinks=[(kind, {"path": path})])
while True:
    optimizer.zero_grad()
    loss = net(torch.randn(4, 8)).square().mean()
    loss.backward()
    print(guard.step(optimizer, loss=loss).step, flush=True)
"""


def steps_in(kind, path):
    if kind == "jsonl":
        return [report.step for report in gradcore.History.load(path)]
    with path.open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row["findings"] is not None]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_every_step_that_was_finished_is_in_the_log(tmp_path, kind):
    path = tmp_path / f"run.{kind}"
    command = [sys.executable, "-c", TRAINING, kind, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        told = [int(running.stdout.readline()) for _ in range(25)]
        running.send_signal(signal.SIGKILL)
        told += [int(line) for line in running.stdout.read().splitlines()]
        assert running.wait() == -signal.SIGKILL

    kept = steps_in(kind, path)
    assert kept == list(range(len(kept)))
    assert len(kept) >= len(told)

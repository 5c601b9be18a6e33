"""Gradient manager: rows B6 (of a run), B8, B9 and B10 of what gradcore must be able to do."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest
import torch

import gradcore
import training


def trained(steps, bad=(), **options):
    """A guard that has seen a real model in training, with a NaN planted in some steps."""
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    guard = gradcore.Guard(net, **options)
    norms, losses = [], []
    for step in range(steps):
        losses.append(training.backward(net, step).item())
        flat = torch.cat([p.grad.reshape(-1) for p in net.parameters()])
        norms.append(float(np.linalg.norm(flat.double().numpy())))
        if step in bad:
            training.plant(net[0].weight, math.nan, math.inf)
        guard.step(optimizer, loss=losses[-1])
    return guard, np.array(norms), losses


def test_b6_statistics_of_a_run_are_averages_unhealthy_steps_and_replacements():
    bad = {5, 6, 17}
    guard, norms, _ = trained(40, bad, nonfinite=("replace", {"posinf": 1e6}), max_norm=1.0)

    summary = guard.history.summary()
    good = norms[[step for step in range(40) if step not in bad]]
    assert summary["steps"] == summary["steps_seen"] == 40
    assert summary["mean_norm"] == pytest.approx(good.mean(), rel=1e-9)
    assert summary["std_norm"] == pytest.approx(good.std(), rel=1e-9)
    assert summary["max_norm"] == pytest.approx(good.max(), rel=1e-9)
    for percent in (50, 90, 99):
        wanted = pytest.approx(np.percentile(good, percent), rel=1e-9)
        assert summary[f"p{percent}_norm"] == wanted
    assert summary["nonfinite_rate"] == 3 / 40
    assert summary["clip_rate"] == ((good > 1.0).sum() + 3) / 40
    assert (summary["unhealthy_steps"], summary["repaired_elements"]) == (3, 6)


@pytest.mark.parametrize("how", ["sink", "save"])
def test_b8_a_log_is_saved_to_a_file_and_read_back(tmp_path, how):
    path = tmp_path / "run.jsonl"
    sinks = [("jsonl", {"path": path})] if how == "sink" else []
    guard, norms, losses = trained(30, {4}, sinks=sinks, needs="all", max_norm=1.0)
    guard.close()
    if how == "save":
        guard.history.save(path)

    loaded = gradcore.History.load(path)
    assert [report.to_dict() for report in loaded] == [r.to_dict() for r in guard.history]
    assert loaded.summary() == guard.history.summary()
    assert loaded[9].norm == pytest.approx(norms[9], rel=1e-6)
    assert [report.loss for report in loaded] == losses
    assert loaded[4].first_nonfinite == "0.weight"
    assert loaded[29].parameters[2].name == "2.weight"
    assert loaded[29].parameters[2].max_abs > 0


def test_b8_a_log_of_a_killed_run_is_read_up_to_its_last_whole_line(tmp_path):
    path = tmp_path / "run.jsonl"
    trained(10, sinks=[("jsonl", {"path": path})])[0].close()
    path.write_bytes(path.read_bytes()[:-20])

    assert [report.step for report in gradcore.History.load(path)] == list(range(9))


def test_b9_training_in_a_thread_leaves_the_event_loop_free(tmp_path):
    """Another coroutine gets its turns while a run is trained, and reads its log meanwhile."""
    path, seen = tmp_path / "run.jsonl", []

    async def watch(done):
        while not done.is_set():
            await asyncio.sleep(0.01)
            if path.exists():
                seen.append(len(gradcore.History.load(path)))

    async def main():
        done = asyncio.Event()
        watching = asyncio.create_task(watch(done))
        options = {"sinks": [("jsonl", {"path": path})]}
        guard, *_ = await asyncio.to_thread(trained, 200, {50}, **options)
        done.set()
        await watching
        guard.close()
        return guard

    guard = asyncio.run(main())
    assert seen == sorted(seen)
    assert len(gradcore.History.load(path)) == guard.steps == 200


def test_b10_only_every_kth_step_is_looked_at_and_history_is_bounded(tmp_path):
    path = tmp_path / "run.jsonl"
    check = training.Seen()
    guard, norms, _ = trained(
        100, every=5, history=6, checks=[check], sinks=[("jsonl", {"path": path})]
    )
    guard.close()

    assert [report.step for report in check.reports] == list(range(0, 100, 5))
    assert [report.step for report in guard.history] == [70, 75, 80, 85, 90, 95]
    assert [report.step for report in gradcore.History.load(path)] == list(range(0, 100, 5))
    assert guard.history.summary()["steps_seen"] == 20
    assert guard.history[-1].norm == pytest.approx(norms[95], rel=1e-6)


def test_b10_a_sink_that_fails_does_not_stop_the_training(tmp_path):
    path = tmp_path / "run.jsonl"
    net = training.model()
    guard = gradcore.Guard(net, sinks=[("jsonl", {"path": path})])
    training.backward(net)
    guard.apply()
    guard.sinks[0].close()  # as if the disk were gone

    for seed in range(3):
        training.backward(net, seed)
        guard.apply()
    assert guard.steps == 4
    assert len(gradcore.History.load(path)) == 1

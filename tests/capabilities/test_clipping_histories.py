"""Clipping and NaN handling: row C6 of what gradcore must be able to do, its histories."""

from __future__ import annotations

import math

import torch

import gradcore
import training


def test_c6_a_wrapper_around_a_training_loop_saves_its_histories(tmp_path):
    """The loop itself has not a line that knows of gradcore."""
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    guard = gradcore.Guard(net, max_norm=0.5, nonfinite="zero")
    guard.attach(optimizer)
    for seed in range(50):
        training.backward(net, seed)
        if seed % 10 == 9:
            training.plant(net[0].bias, math.inf)
        optimizer.step()

    guard.history.save(tmp_path / "training.jsonl")
    loaded = gradcore.History.load(tmp_path / "training.jsonl")
    arrays = loaded.to_arrays()
    assert arrays["step"].tolist() == list(range(50))
    assert arrays["posinf"].nonzero()[0].tolist() == [9, 19, 29, 39, 49]
    assert arrays["repaired"].sum() == 5
    assert (arrays["clipped_norm"] <= 0.5 * (1 + 1e-12)).all()
    assert loaded.summary() == guard.history.summary()
    assert training.finite(net)


def test_c6_histories_go_on_after_a_checkpoint(tmp_path):
    net = training.model()
    first = gradcore.Guard(net, max_norm=0.5, history=20)
    for seed in range(30):
        training.backward(net, seed)
        first.apply()
    torch.save(first.state_dict(), tmp_path / "checkpoint.pt")

    second = gradcore.Guard(net, max_norm=0.5, history=20)
    second.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    training.backward(net, 30)
    second.apply()
    assert [report.step for report in second.history] == list(range(11, 31))
    assert second.history.summary()["steps_seen"] == 31

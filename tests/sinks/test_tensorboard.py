"""The sink `tensorboard` writes what TensorBoard's own reader reads."""

from __future__ import annotations

import gc
import math
import signal
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import reports
from gradcore import Counts, Finding
from gradcore.sinks import TensorBoard

FINDING = Finding("vanishing", "warning", "0.weight has norm 1e-9.", "Use a residual connection.")


def read(folder):
    events = EventAccumulator(str(folder), size_guidance=dict.fromkeys(("scalars", "tensors"), 0))
    return events.Reload()


def curve(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_curves_a_histogram_and_findings_come_back(tmp_path):
    table = reports.table(["0.weight", "1.weight"], [1e-9, 10.0])
    sink = TensorBoard(tmp_path)
    sink(reports.report(step=0, norm=2.0, loss=0.5, parameters=table))
    sink(reports.report(step=5, norm=4.0, nonfinite=Counts(nan=3), findings=(FINDING,)))
    sink.close()

    events = read(tmp_path)
    assert curve(events, "gradcore/norm") == [(0, 2.0), (5, 4.0)]
    assert curve(events, "gradcore/loss") == [(0, 0.5)]
    assert curve(events, "gradcore/nonfinite") == [(0, 0.0), (5, 3.0)]
    (histogram,) = events.Histograms("gradcore/log10_norms")
    value = histogram.histogram_value
    assert (histogram.step, value.num) == (0, 2.0)
    assert (value.min, value.max) == (pytest.approx(-9), pytest.approx(1))
    assert (value.bucket[0], value.bucket[-1], sum(value.bucket)) == (1.0, 1.0, 2.0)
    (text,) = events.Tensors("gradcore/findings")
    assert text.step == 5
    assert b"Use a residual connection." in text.tensor_proto.string_val[0]


def test_norms_of_parameters_if_asked_for(tmp_path):
    sink = TensorBoard(tmp_path, per_parameter=True)
    sink(reports.report(step=2, parameters=reports.table(["0.weight"], [3.0])))
    sink.close()

    assert curve(read(tmp_path), "gradcore/norm/0.weight") == [(2, 3.0)]


def test_numbers_that_are_not_finite_are_written(tmp_path):
    sink = TensorBoard(tmp_path)
    sink(reports.report(norm=math.inf, loss=math.nan))
    sink.close()

    assert curve(read(tmp_path), "gradcore/norm") == [(0, math.inf)]
    assert math.isnan(curve(read(tmp_path), "gradcore/loss")[0][1])


def test_a_step_that_is_not_healthy_is_in_the_file_at_once(tmp_path):
    sink = TensorBoard(tmp_path)
    sink(reports.report(step=0))
    sink(reports.report(step=1, healthy=False))

    assert [step for step, _ in curve(read(tmp_path), "gradcore/norm")] == [0, 1]
    sink.close()


def test_a_sink_that_is_forgotten_writes_what_is_left(tmp_path):
    sink = TensorBoard(tmp_path)
    for step in range(3):
        sink(reports.report(step=step))
    del sink
    gc.collect()

    assert len(curve(read(tmp_path), "gradcore/norm")) == 3


RUN = """
import os, signal, sys, torch, gradcore
owner = torch.nn.Parameter(torch.zeros(2))
guard = gradcore.Guard([owner], sinks=[("tensorboard", {"log_dir": sys.argv[1]})])
for value in (1.0, 2.0, float("nan"), 3.0):
    owner.grad = torch.tensor([value, 1.0])
    guard.apply()
    if sys.argv[2] == "killed" and value != value:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("how", "status", "steps"), [("ended", 0, 4), ("killed", -9, 3)])
def test_what_is_left_of_a_process_that_did_not_close(tmp_path, how, status, steps):
    """One that ends by itself leaves all, a killed one all up to the last event."""
    ended = subprocess.run([sys.executable, "-c", RUN, tmp_path, how], check=False)

    assert ended.returncode == status
    assert [step for step, _ in curve(read(tmp_path), "gradcore/norm")] == list(range(steps))
    assert signal.SIGKILL == 9


def test_without_a_folder_it_is_a_new_one_below_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    TensorBoard().close()

    (folder,) = (tmp_path / "runs").iterdir()
    assert [file.name.split(".")[2] for file in folder.iterdir()] == ["tfevents"]


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)

    with pytest.raises(ImportError, match=r"pip install 'gradcore\[tensorboard\]'"):
        TensorBoard(tmp_path)
    assert list(tmp_path.iterdir()) == []

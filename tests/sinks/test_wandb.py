"""The sink `wandb` logs to a run of W&B, here in offline mode, of which it keeps a file."""

from __future__ import annotations

import math
import sys

import pytest
import wandb

import reports
import wandb_file
from gradcore import Counts
from gradcore.sinks import WeightsAndBiases


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    yield
    wandb.finish()
    wandb.teardown()  # it remembers the environment it was first used in


def kept(tmp_path):
    """The file of the only run, once W&B's own process has written all of it."""
    wandb.teardown()
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    return path


def test_curves_and_a_histogram_are_logged(tmp_path):
    table = reports.table(["0.weight", "1.weight"], [1e-9, 10.0])
    sink = WeightsAndBiases("gradients", name="first")
    assert (wandb.run.project, wandb.run.name) == ("gradients", "first")
    sink(reports.report(step=0, norm=2.0, loss=0.5, parameters=table))
    sink(reports.report(step=5, norm=4.0, nonfinite=Counts(nan=3), loss=math.nan))
    sink.close()

    first, second = wandb_file.logged(kept(tmp_path))
    assert (first["gradcore/step"], first["gradcore/norm"], first["gradcore/loss"]) == (0, 2.0, 0.5)
    assert (second["gradcore/step"], second["gradcore/nonfinite"]) == (5, 3.0)
    assert math.isnan(float(second["gradcore/loss"]))
    histogram = first["gradcore/log10_norms"]
    assert histogram["_type"] == "histogram"
    assert (histogram["values"][0], histogram["values"][-1]) == (1, 1)
    assert (histogram["bins"][0], histogram["bins"][-1]) == (pytest.approx(-9), pytest.approx(1))


def test_curves_are_drawn_over_the_steps_of_the_guard(tmp_path):
    WeightsAndBiases().close()

    records = list(wandb_file.records(kept(tmp_path)))
    metrics = [record.metric for record in records if record.HasField("metric")]
    assert [metric.step_metric for metric in metrics if metric.glob_name == "gradcore/*"] == [
        "gradcore/step"
    ]


def test_a_run_of_its_own_is_finished_and_one_that_is_active_goes_on(tmp_path):
    sink = WeightsAndBiases(dir=str(tmp_path))
    assert wandb.run is not None
    sink.close()
    assert wandb.run is None

    mine = wandb.init(project="mine")
    joined = WeightsAndBiases()
    joined(reports.report())
    joined.close()
    assert wandb.run is mine


def test_options_that_an_active_run_makes_void_are_a_warning(caplog):
    mine = wandb.init(project="mine")

    WeightsAndBiases("another")
    assert "are not used" in caplog.text
    assert wandb.run is mine


def test_norms_of_parameters_if_asked_for(tmp_path):
    sink = WeightsAndBiases(per_parameter=True)
    sink(reports.report(parameters=reports.table(["0.weight"], [3.0])))
    sink.close()

    (logged,) = wandb_file.logged(kept(tmp_path))
    assert logged["gradcore/norm/0.weight"] == 3.0


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)

    with pytest.raises(ImportError, match=r"pip install 'gradcore\[wandb\]'"):
        WeightsAndBiases()

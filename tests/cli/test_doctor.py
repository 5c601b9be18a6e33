"""``gradcore doctor`` says what is there, what is wrong, and how to cure it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import gradcore
from gradcore.catalogue import Record
from gradcore.cli import doctor, main

HEALTHY = doctor.Facts(
    build={
        "version": "1",
        "torch": "2",
        "cuda": None,
        "cpu": ("baseline",),
        "cpu_in_use": "baseline",
        "openmp": True,
    },
    torch_cuda=None,
    devices=("cpu",),
    threads=2,
    cpus=2,
    plugins=(),
    self_test={"cpu": ""},
)


def changed(**values):
    return dataclasses.replace(HEALTHY, **values)


def test_it_prints_versions_and_what_is_compiled_in(capsys):
    status = main(["doctor"])

    out = capsys.readouterr().out
    build = gradcore.build_info()
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if "  " in line)
    assert lines["gradcore"] == build["version"]
    assert lines["torch"].startswith(torch.__version__)
    assert lines["torch"].endswith(build["torch"])
    assert f"in use: {build['cpu_in_use']}" in out
    assert "self-test    passed" in out
    assert status == ("Problem" in out)


def test_a_healthy_machine_has_no_problem(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: HEALTHY)

    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("\n\nNothing is wrong.\n")


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (changed(self_test={"cpu": "the norm came out as 0"}), "on cpu went wrong: the norm came"),
        (changed(devices=("cpu", "cuda:0 (a GPU)")), "has no CUDA kernels"),
        (changed(build={**HEALTHY.build, "openmp": False}), "without OpenMP"),
        (changed(nvidia=2), "NVIDIA (2), and torch, which is a CPU build, can use none"),
        (changed(nvidia=1, torch_cuda="13.0"), "torch, which is built with CUDA 13.0, can use"),
        (
            changed(plugins=(Record(None, "acme", "acme-clip", "2.0", problem="ImportError: x"),)),
            "'acme' of the plugin acme-clip 2.0 cannot be used: ImportError: x.",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_cure(monkeypatch, capsys, facts, what):
    monkeypatch.setattr(doctor, "examine", lambda: facts)

    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert what in out
    assert "\nCure: " in out
    assert "Problem 1:" in out
    assert "Problem 2:" not in out


def test_a_core_that_measures_wrongly_is_a_problem(monkeypatch):
    def broken(_parameters):
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr(gradcore, "measure", broken)

    assert doctor.examine().self_test["cpu"] == "RuntimeError: illegal instruction"


def test_plugins_that_are_switched_off_are_named(monkeypatch, capsys):
    monkeypatch.setenv("GRADCORE_PLUGINS_DISABLED", "acme")

    main(["doctor"])

    assert "switched off acme (by GRADCORE_PLUGINS_DISABLED)" in capsys.readouterr().out

"""What ``import gradcore`` loads, and what it leaves for those who ask for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gradcore

LATER = ("checks", "monitors", "nonfinite", "numerics", "sinks", "strategies")

UNNEEDED = (
    # what a program without checks, sinks, logs, monitors and pictures does not use
    "gradcore.builtin",
    "gradcore.checks",
    "gradcore.cli",
    "gradcore.integrations",
    "gradcore.logfile",
    "gradcore.monitors",
    "gradcore.numerics",
    "gradcore.page",
    "gradcore.plots",
    "gradcore.sinks",
    "gradcore.testing",
    # what others are slow at
    "importlib.resources",
    "matplotlib",
    "plotly",
    "rich",
    "tomllib",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "torch.onnx",
    "torch.utils.tensorboard",
)


def loaded_by(program: str) -> set[str]:
    """Modules that a program has loaded beyond those of torch."""
    source = f"import sys, torch; before = set(sys.modules); {program}\n"
    source += "print(*(set(sys.modules) - before))"
    process = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    return set(process.stdout.split())


def test_nothing_is_imported_that_not_every_program_needs():
    """What is slow is a module that crept in: 120 modules were 106 ms, these are 69."""
    loaded = loaded_by("import gradcore")

    assert "gradcore.guard" in loaded
    assert {name for name in UNNEEDED if name in loaded} == set()


def test_a_guard_without_names_loads_no_more_than_its_parts():
    loaded = loaded_by(
        "import gradcore; gradcore.Guard(torch.nn.Linear(1, 1), max_norm=1.0).apply()"
    )

    assert {"gradcore.builtin", "gradcore.checks", "gradcore.sinks"} & loaded == set()


@pytest.mark.parametrize("folder", LATER)
def test_a_folder_is_there_once_it_is_asked_for(folder):
    loaded = loaded_by(f"import gradcore; gradcore.{folder}.__all__")

    assert f"gradcore.{folder}" in loaded


def test_star_brings_what_is_public():
    names: dict[str, object] = {}
    exec("from gradcore import *", names)  # noqa: S102 - only a module can do that by itself

    assert set(gradcore.__all__) <= set(names)


def test_a_name_that_is_not_there_is_the_error_of_any_module():
    with pytest.raises(AttributeError, match="module 'gradcore' has no attribute 'strategy'"):
        gradcore.strategy  # noqa: B018

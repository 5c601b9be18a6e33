"""Say what is installed and compiled in, whether it works here, and how to cure what does not.

If gradcore cannot be imported at all, neither can this: then ``gradcore_command.broken`` looks.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

import gradcore
from gradcore.discovery import DISABLED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gradcore.catalogue import Record

EXTRAS: Final = {
    "matplotlib": "pictures: pip install 'gradcore[plot]'",
    "plotly": "pages of runs: pip install 'gradcore[report]'",
    "tensorboard": "the sink of that name: pip install 'gradcore[tensorboard]'",
    "wandb": "the sink of that name: pip install 'gradcore[wandb]'",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and its cure."""

    what: str
    cure: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found on this machine, all of it as it was just measured."""

    build: Mapping[str, Any]
    """As `gradcore.build_info` says."""

    torch_cuda: str | None
    """The CUDA version that torch was built with."""

    devices: tuple[str, ...]
    threads: int
    """That torch uses within an operator."""

    cpus: int
    """That this process may run on."""

    plugins: tuple[Record, ...]
    """What installed plugins offer, and those that offer nothing."""

    self_test: Mapping[str, str]
    """By device: empty if a measured gradient was measured right, else what came out."""

    nvidia: int = 0
    """GPUs of NVIDIA that the system knows, whether or not torch can use them."""


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Add nothing: ``gradcore doctor`` has no options."""


def run(_arguments: argparse.Namespace) -> int:
    """Print the facts and what is wrong; returns 0 if nothing is."""
    facts = examine()
    problems = diagnose(facts)
    lines = [f"{title:<12} {value}" for title, value in _describe(facts)]
    for number, problem in enumerate(problems, 1):
        lines += ["", f"Problem {number}: {problem.what}", f"Cure: {problem.cure}"]
    if not problems:
        lines += ["", "Nothing is wrong."]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if problems else 0


def examine() -> Facts:
    """Look at everything; starts no work on a device beyond one tiny measurement."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = {f"cuda:{n}": torch.cuda.get_device_name(n) for n in range(count)}
    affinity = getattr(os, "sched_getaffinity", None)
    return Facts(
        build=gradcore.build_info(),
        torch_cuda=torch.version.cuda,
        devices=("cpu", *(f"{device} ({name})" for device, name in gpus.items())),
        threads=torch.get_num_threads(),
        cpus=len(affinity(0)) if affinity else os.cpu_count() or 1,
        plugins=tuple(
            record for record in gradcore.Registry().records() if record.distribution != "gradcore"
        ),
        self_test={device: _self_test(device) for device in ("cpu", *gpus)},
        nvidia=len(list(Path("/dev").glob("nvidia[0-9]*"))),
    )


def diagnose(facts: Facts) -> list[Problem]:
    """Return what is wrong, worst first."""
    problems = [
        Problem(
            f"Measuring a small gradient on {device} went wrong: {outcome}.",
            "Reinstall gradcore in this environment; if it stays, please report it with this page.",
        )
        for device, outcome in facts.self_test.items()
        if outcome
    ]
    if len(facts.devices) > 1 and not facts.build["cuda"]:
        problems.append(
            Problem(
                "There is a GPU, but this build of gradcore has no CUDA kernels: gradients on it"
                " are handled by ordinary torch operators, rightly but slower.",
                "Rebuild where nvcc is installed: GRADCORE_CUDA=ON pip install --force-reinstall .",
            )
        )
    if facts.nvidia and len(facts.devices) == 1:
        built = f"is built with CUDA {facts.torch_cuda}" if facts.torch_cuda else "is a CPU build"
        problems.append(
            Problem(
                f"The system has GPUs of NVIDIA ({facts.nvidia}), and torch, which {built}, can use"
                " none: torch.cuda.is_available() is False.",
                "Update the driver (nvidia-smi says up to which CUDA it goes), look at"
                " CUDA_VISIBLE_DEVICES, or install a torch with CUDA: https://pytorch.org.",
            )
        )
    if not facts.build["openmp"]:
        problems.append(
            Problem(
                "gradcore was built without OpenMP and uses one thread.",
                "Rebuild with a compiler that has it, such as g++.",
            )
        )
    problems += [
        Problem(
            f"{record.name!r} of the plugin {record.distribution} {record.version} cannot be used:"
            f" {record.problem.rstrip('.')}.",
            f"Update or uninstall {record.distribution}, or switch it off with {DISABLED}.",
        )
        for record in facts.plugins
        if record.problem
    ]
    return problems


def _describe(facts: Facts) -> list[tuple[str, str]]:
    build = facts.build
    plugins = sorted({f"{record.distribution} {record.version}" for record in facts.plugins})
    disabled = os.environ.get(DISABLED, "")
    return [
        ("gradcore", str(build["version"])),
        ("python", f"{platform.python_version()} on {platform.platform()}"),
        ("torch", f"{torch.__version__}; gradcore was built against {build['torch']}"),
        ("cuda", f"compiled in: {build['cuda'] or 'no'}; torch has: {facts.torch_cuda or 'no'}"),
        ("cpu kernels", f"{', '.join(build['cpu'])}; in use: {build['cpu_in_use']}"),
        ("openmp", "yes" if build["openmp"] else "no"),
        ("threads", f"{facts.threads}, CPUs to run on: {facts.cpus}"),
        ("devices", ", ".join(facts.devices)),
        ("plugins", ", ".join(plugins) or "none beside the built-in one"),
        *([("switched off", f"{disabled} (by {DISABLED})")] if disabled else []),
        *((name, _extra(name, use)) for name, use in EXTRAS.items()),
        ("self-test", "failed" if any(facts.self_test.values()) else "passed"),
    ]


def _extra(name: str, use: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return f"not installed; needed only for {use}"


def _self_test(device: str) -> str:
    """Measure (3e20, 4e20, NaN), whose finite norm is 5e20 and whose square is beyond float32."""
    weight = torch.zeros(3, device=device, requires_grad=True)
    weight.grad = torch.tensor([3e20, 4e20, math.nan], device=device)
    try:
        statistics = gradcore.measure([weight])
        norm, nan = statistics.norm.item(), statistics.nan.sum().item()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what doctor is asked for
        return f"{type(error).__name__}: {error}"
    # float32 stores 3e20 and 4e20 to within 6e-8 of their value.
    if math.isclose(norm, 5e20, rel_tol=1e-6) and nan == 1:
        return ""
    return f"the norm of (3e20, 4e20, NaN) came out as {norm} with {nan:g} NaN"

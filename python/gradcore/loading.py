"""Finds the native core and makes sure that it fits the torch that is running."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch  # first: it brings the libraries that the native core is linked against

HERE = Path(__file__).parent

REBUILD = "pip install --force-reinstall --no-deps --no-binary gradcore gradcore"
"""Compiles the core against the torch of the environment; with ``.`` in a source tree."""

RUNNING = f"torch {torch.__version__} (in {Path(torch.__file__).parent})"

try:
    from gradcore import _native as _loaded
except ImportError as _error:
    raise ImportError(
        f"The native core of gradcore (in {HERE}) cannot be loaded under {RUNNING}: {_error}. "
        f"Compile it for this Python and this torch: `{REBUILD}`, or `pip install "
        "--force-reinstall --no-deps .` in its source tree."
    ) from _error

native = _loaded
"""The native core."""


def _minor(version: str) -> str:
    return ".".join(version.split("+", maxsplit=1)[0].split(".")[:2])


if _minor(native.torch) != _minor(torch.__version__):
    raise ImportError(
        f"gradcore {native.version} (in {HERE}) was compiled for torch {_minor(native.torch)}, but "
        f"{RUNNING} is running. Either take that torch, `pip install "
        f"'torch=={_minor(native.torch)}.*'`, or compile gradcore for this one: `{REBUILD}`, or "
        "`pip install --force-reinstall --no-deps .` in its source tree."
    )

if native.cuda and torch.version.cuda:
    # Its own library, so that a core built with CUDA can be imported where torch is a CPU build.
    library: Path = Path(native.__file__).with_name("_cuda.so")
    torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]


if (os.environ.get("GRADCORE_CPU") or native.cpu_in_use) != native.cpu_in_use:
    raise ImportError(
        f"GRADCORE_CPU={os.environ['GRADCORE_CPU']} asks for kernels that cannot run here. This "
        f"processor can run {', '.join(native.cpu_supported)}; without it the last is taken."
    )


def build_info() -> dict[str, Any]:
    """What this build of gradcore holds.

    Returns:
        ``version`` of gradcore, ``torch`` it was built against, ``cuda`` compiled in (a version, or
        None), ``cpu`` (instruction sets compiled in), ``cpu_in_use``, ``openmp`` (bool).
    """
    return {
        "version": native.version,
        "torch": native.torch,
        "cuda": native.cuda or None,
        "cpu": native.cpu,
        "cpu_in_use": native.cpu_in_use,
        "openmp": native.openmp,
    }

"""A device in software: builds it and tells torch of it; see tests/cpp/device.

One process has one device, so whoever wants this one runs ``pytest --device software``.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import types
from collections.abc import Iterator
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
NAMES = ("software_device.cpp", "device.hpp", "capture.hpp", "tensors.hpp")
SOURCES = [ROOT / "tests/cpp/device" / name for name in NAMES]
FOLDER = ROOT / "build" / "software_device"
NAME = "software"


def install() -> None:
    """Give this process the device ``"software"``, with indices 0 and 1."""
    torch.ops.load_library(str(library()))
    operators = torch.ops.software_device
    operators.install()
    torch.utils.rename_privateuse1_backend(NAME)
    module = types.ModuleType(f"torch.{NAME}")
    vars(module).update(
        is_available=lambda: True,
        is_initialized=lambda: True,
        device_count=lambda: 2,
        current_device=operators.current,
        set_device=lambda device: operators.choose(torch.device(device).index or 0),
        device=chosen,
        get_amp_supported_dtype=lambda: [torch.float16, torch.bfloat16],
        is_current_stream_capturing=operators.capturing,
        manual_seed_all=lambda seed: None,
        _is_in_bad_fork=lambda: False,
    )
    torch._register_device_module(NAME, module)  # noqa: SLF001 - there is no public name


@contextlib.contextmanager
def chosen(device: torch.device | int) -> Iterator[None]:
    """Make a device the current one in the context."""
    operators = torch.ops.software_device
    before = operators.current()
    operators.choose(device if isinstance(device, int) else device.index or 0)
    try:
        yield
    finally:
        operators.choose(before)


def library() -> Path:
    """The compiled device, built where it is not there yet."""
    root = Path(torch.__file__).parent
    content = b"".join(p.read_bytes() for p in SOURCES) + torch.__version__.encode()
    built = FOLDER / f"{hashlib.sha256(content).hexdigest()[:16]}.so"
    if built.exists():
        return built
    FOLDER.mkdir(parents=True, exist_ok=True)
    includes = [f"-isystem{root / part}" for part in ("include", "include/torch/csrc/api/include")]
    unfinished = built.with_suffix(".part")
    subprocess.run(
        [
            *(
                "c++",
                "-std=c++20",
                "-O1",
                "-fPIC",
                "-shared",
                *includes,
                SOURCES[0],
                "-o",
                unfinished,
            ),
            *(f"-L{root / 'lib'}", "-ltorch_cpu", "-lc10"),
        ],
        check=True,
    )
    unfinished.rename(built)
    return built


def waits() -> list[str]:
    """What the host has waited for since the last call."""
    found: list[str] = torch.ops.software_device.waits()
    return found


def advance() -> None:
    """Let time pass: everything in the queue is done."""
    torch.ops.software_device.advance()


class Graph:
    """Work that is captured where it is entered, and done with `replay`: `torch.cuda.CUDAGraph`.

    Nothing is done while it is captured; what a GPU would refuse then raises.
    """

    def __enter__(self) -> None:
        torch.ops.software_device.begin_capture()

    def __exit__(self, *exception: object) -> None:
        self._number: int = torch.ops.software_device.end_capture()

    def replay(self) -> None:
        """Do it."""
        torch.ops.software_device.replay(self._number)

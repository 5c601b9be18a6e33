"""The emulator of the device code as a library, built on the spot."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
KINDS = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex32,
    torch.complex64,
    torch.complex128,
)
FLAGS = ("-std=c++20", "-O2", "-ffp-contract=off", "-shared", "-fPIC")


class Emulator:
    """Measures tensors on the host as a card with some number of multiprocessors would."""

    def __init__(self, folder: Path) -> None:
        """Build it in ``folder``."""
        library = folder / "emulator.so"
        source = ROOT / "tests/cpp/cuda/emulator.cpp"
        command = ["g++", *FLAGS, f"-I{ROOT / 'cpp'}", source, "-o", library]
        subprocess.run(command, check=True)
        self._library = ctypes.CDLL(str(library))

    def measure(
        self, tensors: Sequence[Tensor], multiprocessors: int, needs: int, overflow: float
    ) -> Tensor:
        """The table of CPU tensors of one dtype."""
        count = len(tensors)
        table = torch.empty(12, count + 1, dtype=torch.float64)
        self._library.gradcore_emulate_measure(
            KINDS.index(tensors[0].dtype),
            count,
            (ctypes.c_void_p * count)(*(tensor.data_ptr() for tensor in tensors)),
            (ctypes.c_int64 * count)(*(tensor.numel() for tensor in tensors)),
            multiprocessors,
            needs,
            ctypes.c_double(2.0),
            ctypes.c_double(overflow),
            None,
            ctypes.c_void_p(table.data_ptr()),
        )
        return table

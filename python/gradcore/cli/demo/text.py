"""The text to learn: Python's own standard library, which every installation brings along."""

from __future__ import annotations

import string
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

CHARACTERS: Final = "\n\t" + "".join(sorted(set(string.printable) - set(string.whitespace) | {" "}))
"""What the model can read and write: printable ASCII, newline and tab; anything else is dropped."""

HELD_OUT: Final = 10
"""Every so many files one is kept from training, for validation."""

_ABSENT: Final = 255


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """Source code as indices into `CHARACTERS`, a part of it held out."""

    training: Tensor
    """uint8, 1-d."""

    validation: Tensor
    """uint8, 1-d: whole files that no training batch is drawn from."""

    files: int
    """How many files were read, held-out ones included."""


def standard_library() -> Path:
    """Return the folder of the standard library's own .py files."""
    return Path(sysconfig.get_path("stdlib"))


def read_text(folder: Path) -> Text:
    """Read the .py files that lie directly in ``folder``, in the order of their names.

    Raises:
        FileNotFoundError: There are fewer than `HELD_OUT` of them.
    """
    paths = sorted(folder.glob("*.py"))
    if len(paths) < HELD_OUT:
        raise FileNotFoundError(
            f"The demo learns Python's standard library, of which {folder} should hold the .py"
            f" files; it holds {len(paths)}. Use a Python that ships its library as source."
        )
    table = np.full(256, _ABSENT, dtype=np.uint8)
    table[np.frombuffer(CHARACTERS.encode("ascii"), dtype=np.uint8)] = np.arange(len(CHARACTERS))
    files = [table[np.frombuffer(path.read_bytes(), dtype=np.uint8)] for path in paths]
    files = [file[file != _ABSENT] for file in files]
    held_out = files[::HELD_OUT]
    rest = [file for number, file in enumerate(files) if number % HELD_OUT]
    return Text(
        training=torch.from_numpy(np.concatenate(rest)),
        validation=torch.from_numpy(np.concatenate(held_out)),
        files=len(files),
    )


def windows(text: Tensor, count: int, length: int, generator: torch.Generator) -> Tensor:
    """Draw ``count`` stretches of ``length`` characters: int64 ``[count, length]``."""
    starts = torch.randint(text.numel() - length + 1, (count, 1), generator=generator)
    return text[starts + torch.arange(length)].long()

"""What has to be the same on all ranks, in words and as a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from zlib import crc32

import torch
from torch import nn

if TYPE_CHECKING:
    from gradcore.guard import Guard

PLAIN: Final = (bool, int, float, str, tuple, dict, type(None))


def configuration_of(guard: Guard) -> dict[str, str]:
    """Everything that a guard decides by, each option in words."""
    return {
        "clip": described(guard.clip),
        "nonfinite": described(guard.nonfinite),
        "every": str(guard.every),
        "max_consecutive": str(guard.streak.limit),
        "statistics": ", ".join(sorted(guard.measuring.ever)),
        "unit_axis": str(guard.measuring.unit_axis),
        "step": str(guard.steps),
        "snapshot before step": str(guard.rollback and guard.rollback.step),
    }


def described(part: object) -> str:
    """A strategy or a policy with its options: ``global_norm(max_norm=1.0, norm_type=2.0)``."""
    if part is None:
        return "None"
    names = {*getattr(part, "__dict__", ())}
    names.update(*(getattr(kind, "__slots__", ()) for kind in type(part).__mro__))
    values = {name: getattr(part, name, None) for name in sorted(names) if not name.startswith("_")}
    options = ", ".join(f"{k}={value!r}" for k, value in values.items() if isinstance(value, PLAIN))
    return f"{getattr(part, 'name', type(part).__name__)}({options})"


def memory_of(guard: Guard) -> dict[str, str]:
    """A number of all that strategy and policy remember, once they know the names of the job."""
    return {
        "memory of clip": _number_of(guard.clip),
        "memory of nonfinite": _number_of(guard.nonfinite),
    }


def _number_of(part: object) -> str:
    if not isinstance(part, nn.Module):
        return "None"
    number = 0
    for buffer in part.buffers():
        elements = buffer.detach().cpu().reshape(-1).view(torch.uint8)
        number = crc32(elements.numpy().tobytes(), number)
    return f"{number:08x}"


def names_in_words(names: Sequence[str]) -> str:
    """What tells some parameters from others: ``6 from '0.weight' to '4.bias' (1b5dae02)``."""
    ends = f" from {names[0]!r} to {names[-1]!r}" if names else ""
    return f"{len(names)}{ends} ({crc32(repr(tuple(names)).encode()):08x})"


def digest_of(configuration: Mapping[str, str]) -> int:
    """A number of 32 bits, which float64 holds exactly."""
    return crc32(repr(sorted(configuration.items())).encode())


def difference(everyone: Sequence[Mapping[str, str]]) -> str | None:
    """The first option that ranks differ in, with the values; None if they agree."""
    for name, value in everyone[0].items():
        for rank, other in enumerate(everyone):
            if other[name] != value:
                return (
                    f"Ranks differ in {name!r}: it is {value} on rank 0 and {other[name]} on rank "
                    f"{rank}. Give every rank the same options, and load the same checkpoint."
                )
    return None

"""The books that a `torch.amp.GradScaler` keeps of optimizers: private names of torch.

They are tried out first; where they are not as expected, public calls do with one pass more.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.amp import GradScaler

if TYPE_CHECKING:
    from torch.optim import Optimizer


def keeps_books(scaler: GradScaler) -> bool:
    """Whether a scaler keeps books that this module can read and write."""
    names = ("unscale_", "step", "update")
    own = all(getattr(type(scaler), name) is getattr(GradScaler, name) for name in names)
    return own and _as_expected()


@functools.cache
def _as_expected() -> bool:
    """Whether a scaler writes what is looked for, and goes by what is written; tried out once."""
    try:
        scaler = GradScaler("cpu", init_scale=4.0)
        optimizer = torch.optim.SGD([torch.zeros(1, device="cpu", requires_grad=True)])
        scaler.scale(torch.zeros((), device="cpu"))
        ready = state_of(scaler, optimizer)["stage"].name == "READY"
        write(scaler, optimizer, found=True)
        write_stage(scaler, optimizer, "STEPPED")
        scaler.update()
        backed_off = scaler.get_scale() == 2.0  # noqa: PLR2004 - half of the first
        scaler.unscale_(optimizer)
        state = state_of(scaler, optimizer)
        unscaled = state["stage"].name == "UNSCALED" and state["found_inf_per_device"] == {}
    except Exception:  # noqa: BLE001 - whatever it is, public calls are the answer
        return False
    return ready and backed_off and unscaled


def scale_of(scaler: GradScaler) -> Tensor | None:
    """The scale where it is, float32 and 0-d; None if nothing has been scaled yet."""
    scale: Tensor | None = scaler._scale  # noqa: SLF001 - its books
    return scale


def state_of(scaler: GradScaler, optimizer: Optimizer) -> dict[str, Any]:
    """What a scaler has written down of an optimizer since its last update."""
    return scaler._per_optimizer_states[id(optimizer)]  # noqa: SLF001 - its books


def write(scaler: GradScaler, optimizer: Optimizer, *, found: bool | Tensor) -> None:
    """Write what `GradScaler.unscale_` would: 1 or 0, since fused optimizers know nothing else."""
    scale = scale_of(scaler)
    assert scale is not None  # noqa: S101 - for mypy
    if isinstance(found, Tensor):
        flag = found.to(scale.device, torch.float32, non_blocking=not scale.is_cpu)
    else:
        flag = torch.full((), float(found), dtype=torch.float32, device=scale.device)
    state_of(scaler, optimizer)["found_inf_per_device"] = {scale.device: flag}
    write_stage(scaler, optimizer, "UNSCALED")


def write_stage(scaler: GradScaler, optimizer: Optimizer, name: str) -> None:
    """Write how far an optimizer has come since the last update."""
    state = state_of(scaler, optimizer)
    state["stage"] = type(state["stage"])[name]

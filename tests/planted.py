"""Gradients with faults for parameters, and what is to be found in their place after a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

import gradients

if TYPE_CHECKING:
    from collections.abc import Sequence

    import oracle

HUGE = {torch.float16: 6e4, torch.float64: 1e300}
DENORMAL = {torch.float16: 6e-8, torch.bfloat16: 9.2e-41, torch.float64: 5e-324}
KINDS = ["number"] * 6 + ["zero", "huge", "denormal", "nan", "inf", "-inf"]


@st.composite
def gradient(draw: st.DrawFn, parameter: Tensor, *, faults: bool) -> Tensor:
    """A gradient for a parameter: of any layout that fits, with faults or without."""
    dtype = parameter.dtype

    special = {
        "zero": 0.0,
        "huge": HUGE.get(dtype, 1e30),
        "denormal": DENORMAL.get(dtype, 1e-45),
        **({name: float(name) for name in ("nan", "inf", "-inf")} if faults else {}),
    }

    def number() -> float:
        kind = draw(st.sampled_from(KINDS))
        return special[kind] if kind in special else draw(st.integers(-16, 16)) / 8

    count = parameter.numel()
    values = [complex(number(), number() if dtype.is_complex else 0.0) for _ in range(count)]
    flat = gradients.make(values, dtype)
    if parameter.ndim == 2:
        layout = draw(st.sampled_from(["dense", "transposed", "sparse"]))
        if layout == "sparse":
            rows = torch.tensor([[2, 0, 2]])  # one is named twice: its values are added up
            return torch.sparse_coo_tensor(
                rows, flat.reshape(3, 2), parameter.shape, check_invariants=True
            )
        if layout == "transposed":
            return flat.reshape(2, 3).t()
    return flat.reshape(parameter.shape)


def check_left(gradient: Tensor, wanted: Sequence[oracle.Element]) -> None:
    """As an exact computation leaves it."""
    ulps = 4  # the factor is rounded, and the norms that it comes from
    assert gradients.differences(gradient, wanted, ulps=ulps, signed_zeros=False) == []


def check_stepped(parameter: Tensor, old: Tensor, rate: float) -> None:
    """``old - rate * gradient`` in float64, but for the rounding of the dtype."""
    assert parameter.grad is not None
    dense = parameter.grad.to_dense()
    wide = torch.complex128 if parameter.dtype.is_complex else torch.float64
    wanted = old.to(wide) - rate * dense.to(wide)
    eps = torch.finfo(parameter.dtype).eps
    size = old.to(wide).abs() + rate * dense.to(wide).abs()
    stepped = parameter.detach().to(wide)
    good = (stepped - wanted).abs() <= 2 * eps * size + 1e-7 * eps
    wrong = ~good & torch.isfinite(wanted)
    assert stepped[wrong].tolist() == wanted[wrong].tolist()

"""Numerics are computed in float32, or in what is wider."""

from __future__ import annotations

import pytest
import torch

from gradcore.numerics.widening import widened


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.complex64, torch.complex64),
    ],
)
def test_narrow_dtypes_alone_are_widened(dtype, wide):
    assert widened("x", torch.ones(1, dtype=dtype)).dtype == wide

"""The yardstick of benchmarks really reads everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcore.floor import read_once


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.complex64, torch.float64])
def test_no_byte_is_missed(dtype):
    # Sizes around a block of 128 KB, so that every block's first and last bytes count.
    tensors = [torch.randn(size, dtype=dtype) for size in (1, 0, 7, 40_000, 70_001)]

    whole = 0
    for tensor in tensors:
        data = tensor.view(torch.uint8).numpy() if tensor.numel() else np.zeros(0, np.uint8)
        for start in range(0, data.size, 128 * 1024):  # a block's last word is filled up with zeros
            block = data[start : start + 128 * 1024]
            padded = np.pad(block, (0, -block.size % 8)).view(np.uint64)
            whole ^= int(np.bitwise_xor.reduce(padded))
    assert read_once(tensors) == whole

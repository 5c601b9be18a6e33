"""Lists of gradients to time: the shapes of real models, and many small tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def gpt2() -> list[tuple[int, ...]]:
    """GPT-2 with 124 million parameters: 148 tensors."""
    width = 768
    block = [
        (width,),
        (width,),
        (width, 3 * width),
        (3 * width,),
        (width, width),
        (width,),
        (width,),
        (width,),
        (width, 4 * width),
        (4 * width,),
        (4 * width, width),
        (width,),
    ]
    return [(50257, width), (1024, width), *(block * 12), (width,), (width,)]


def llama_7b() -> list[tuple[int, ...]]:
    """Llama with 6.7 billion parameters: 291 tensors."""
    width, hidden = 4096, 11008
    block = [
        *[(width, width)] * 4,
        (hidden, width),
        (width, hidden),
        (hidden, width),
        (width,),
        (width,),
    ]
    return [(32000, width), *(block * 32), (width,), (32000, width)]


def small() -> list[tuple[int, ...]]:
    """Ten thousand tensors of 1,000 elements."""
    return [(1000,)] * 10_000


def gradients_of(shapes: list[tuple[int, ...]], dtype: torch.dtype) -> list[Tensor]:
    """Random gradients of these shapes, each in memory of its own."""
    return [torch.empty(shape, dtype=dtype, device="cuda").normal_(std=1e-3) for shape in shapes]


def parameters_of(gradients: list[Tensor]) -> list[torch.nn.Parameter]:
    """A parameter for each gradient, of which only the gradient takes memory."""
    zero = torch.zeros((), dtype=gradients[0].dtype, device=gradients[0].device)
    parameters = []
    for gradient in gradients:
        parameter = torch.nn.Parameter(zero.expand(gradient.shape))
        parameter.grad = gradient
        parameters.append(parameter)
    return parameters

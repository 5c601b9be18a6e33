"""Lists of parameters with gradients, of the shapes that people train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import torch

if TYPE_CHECKING:
    from torch import Tensor

Shapes: TypeAlias = "list[tuple[int, ...]]"

STAGES: Final = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Width and number of blocks of each stage of ResNet-50: He et al., 2015, arXiv 1512.03385."""


def resnet50() -> Shapes:
    """161 tensors, 25.6 million elements."""
    shapes: Shapes = []

    def convolution(outputs: int, inputs: int, size: int) -> None:
        # With weight and bias of the batch normalisation that follows.
        shapes.extend([(outputs, inputs, size, size), (outputs,), (outputs,)])

    convolution(64, 3, 7)
    inputs = 64
    for width, blocks in STAGES:
        for block in range(blocks):
            convolution(width, inputs, 1)
            convolution(width, width, 3)
            convolution(4 * width, width, 1)
            if block == 0:
                convolution(4 * width, inputs, 1)
            inputs = 4 * width
    return [*shapes, (1000, inputs), (1000,)]


def gpt2() -> Shapes:
    """The smallest GPT-2: 148 tensors, 124.4 million elements (Radford et al., 2019)."""
    width, layers, vocabulary, context = 768, 12, 50257, 1024
    norm: Shapes = [(width,), (width,)]
    attention: Shapes = [(width, 3 * width), (3 * width,), (width, width), (width,)]
    feedforward: Shapes = [(width, 4 * width), (4 * width,), (4 * width, width), (width,)]
    block = [*norm, *attention, *norm, *feedforward]
    return [(vocabulary, width), (context, width), *block * layers, *norm]


WORKLOADS: Final[Mapping[str, Callable[[], Shapes]]] = {
    "tiny": lambda: [(64, 64), (64,)] * 10,  # the cost of a call
    "many-small": lambda: [(64,)] * 10_000,  # the cost of a tensor
    "resnet50": resnet50,
    "gpt2": gpt2,
    "one-big": lambda: [(100_000_000,)],  # the cost of an element
}


def parameters_of(shapes: Shapes, dtype: torch.dtype, *, seed: int = 0) -> list[Tensor]:
    """Parameters with normally distributed gradients of deviation 0.01.

    Random ones: pages of zeros that nobody wrote to are all the same page, which stays in a cache.
    """
    generator = torch.Generator().manual_seed(seed)
    wide = dtype if dtype.is_complex else torch.float32
    parameters: list[Tensor] = []
    for shape in shapes:
        value = torch.randn(shape, dtype=wide, generator=generator).mul_(0.02).to(dtype)
        parameter = torch.nn.Parameter(value)
        gradient = torch.randn(shape, dtype=wide, generator=generator).mul_(0.01).to(dtype)
        parameter.grad = gradient
        parameters.append(parameter)
    return parameters


def gradients_of(parameters: list[Tensor]) -> list[Tensor]:
    """Their gradients, of which there is one each."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]

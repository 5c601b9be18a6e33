"""How far norms are from the truth, on a list large enough to tell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn.utils import get_total_norm

import gradcore
from gradcore.cli.bench.workloads import gradients_of

if TYPE_CHECKING:
    from torch import Tensor

CHUNK: Final = 1 << 16


def true_norm(gradients: list[Tensor]) -> float:
    """Euclidean norm in float64 chunks of 65,536 elements, which `math.fsum` adds exactly."""
    sums = []
    for gradient in gradients:
        for chunk in gradient.detach().reshape(-1).split(CHUNK):  # type: ignore[no-untyped-call]
            wide = torch.view_as_real(chunk) if chunk.is_complex() else chunk
            values = wide.double().numpy().reshape(-1)
            sums.append(float(np.dot(values, values)))
    return math.sqrt(math.fsum(sums))


def errors(parameters: list[Tensor]) -> tuple[float, float]:
    """Relative errors of gradcore's norm and of torch's."""
    gradients = gradients_of(parameters)
    truth = true_norm(gradients)
    ours = float(gradcore.measure(parameters).norm)
    theirs = float(get_total_norm(gradients))
    return abs(ours / truth - 1.0), abs(theirs / truth - 1.0)

"""Whether an optimizer had better clip: fused ones divide gradients while they step.

That saves a pass: a guarded step that clips takes 12 to 24 % less time with float32 gradients of
the shapes of GPT-2 (``benchmarks/fused_scaling.py``).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast

import torch
import torch.optim.optimizer as base
from torch import Tensor

from gradcore.taking import divides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.optim import Optimizer

KINDS: Final = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad)

WORTH: Final = 16_384
"""Elements of a gradient, on average, from which on the look at each takes less than the pass."""

SMALLEST: Final = 2.0**-100
"""Of the factors whose inverse, rounded to float32, is one as exact as others."""


def divisor(optimizer: Optimizer | None, tensors: Sequence[Tensor], factor: float) -> Tensor | None:
    """What ``optimizer`` is to divide the gradients of ``tensors`` by, float32 and 0-d.

    None where they had better be multiplied before it steps: it cannot do it or would not do it to
    all of them, each once; somebody looks at them before it does; or it would not pay.

    Args:
        optimizer: One that steps no parameters but these.
        tensors: The parameters, with gradients on the CPU.
        factor: What clipping multiplies them by, in (0, 1).
    """
    if optimizer is None or not SMALLEST <= factor < 1.0 or not _divides_undisturbed(optimizer):
        return None
    gradients = [t.grad for t in tensors if t.grad is not None]
    if sum(g.numel() for g in gradients) < WORTH * len(gradients):
        return None
    stepped = {id(t) for group in optimizer.param_groups for t in group["params"]}
    for tensor in tensors:
        if tensor.grad is not None and not (id(tensor) in stepped and _plain(tensor)):
            return None
    spans = sorted((g.data_ptr(), g.data_ptr() + g.nbytes) for g in gradients)
    if any(end > start for (_, end), (start, _) in pairwise(spans)):
        return None  # what two share would be divided twice
    return torch.full((), 1.0 / factor, dtype=torch.float32, device="cpu")


def _plain(tensor: Tensor) -> bool:
    """Whether a parameter and its gradient are what fused optimizers are sure to take."""
    return all(
        type(t) in {Tensor, torch.nn.Parameter}
        and t.dtype is torch.float32
        and t.layout is torch.strided
        and t.is_cpu
        and t.is_contiguous()
        for t in (tensor, tensor.grad)
        if t is not None
    )


def _divides_undisturbed(optimizer: Any) -> bool:
    """Whether an optimizer divides gradients, and nobody is called before it does."""
    own, kind = vars(optimizer), cast("Any", type(optimizer))
    return (
        kind in KINDS
        and all(group.get("fused") for group in optimizer.param_groups)
        and not {"grad_scale", "found_inf"} & own.keys()
        # A learning rate scheduler counts calls of step(); whatever else replaces it may look.
        and ("step" not in own or hasattr(own["step"], "_wrapped_by_lr_sched"))
        and not own.get("_optimizer_step_pre_hooks", True)
        and not getattr(base, "_global_optimizer_pre_hooks", True)
        and not torch.compiler.is_compiling()
        and divides(kind)
    )

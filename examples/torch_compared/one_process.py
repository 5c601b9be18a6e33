"""Cases of one process: what is too large or too small, NaN, 16 bits, lists, long gradients."""

from __future__ import annotations

import math
from types import ModuleType

import torch
from case import Case, DropIn, error_of, exact_norm, number, with_gradients
from torch import Tensor, nn

import gradcore


class Clipped(DropIn):
    """What is told and what is left where some number stands in all elements of some tensors."""

    dtype = torch.float32
    value = 1.0
    shapes: tuple[tuple[int, ...], ...] = ((4,), (4,))
    max_norm = 1.0
    digits = 7

    def run(self, library: ModuleType) -> str:
        tensors = [torch.full(shape, self.value, dtype=self.dtype) for shape in self.shapes]
        parameters = with_gradients(*tensors)
        norm = library.clip_grad_norm_(parameters, self.max_norm)
        left = parameters[0].grad.flatten()[0].item()
        return f"norm {number(norm, self.digits)}, elements {left:.3g}"

    def reference(self) -> str:
        held = torch.tensor(self.value, dtype=self.dtype).item()
        count = sum(math.prod(shape) for shape in self.shapes)
        norm = held * math.sqrt(count)
        left = held * min(1.0, self.max_norm / norm)
        return f"norm {number(norm, self.digits)}, elements {left:.3g}"


class Huge(Clipped):
    """Eight float32 elements of 1e20, clipped to 1."""

    value = 1e20


class HugeDouble(Clipped):
    """Four float64 elements of 1e200, clipped to 1."""

    dtype, value, shapes = torch.float64, 1e200, ((4,),)


class Tiny(Clipped):
    """Four float32 elements of 1e-25, within the bound."""

    value, shapes = 1e-25, ((4,),)


class HalfPrecision(Clipped):
    """A thousand float16 elements of 60000, clipped to 1."""

    dtype, value, shapes = torch.float16, 60000.0, ((1000,),)
    digits = 6  # gradcore's norms of 16-bit gradients are right to 1e-6


class LargestOfBrain(Clipped):
    """Four bfloat16 elements of 3.39e38, clipped to 1; gradcore by a guard, of norms in float64."""

    dtype, value, shapes = torch.bfloat16, 3.3895e38, ((4,),)
    digits = 6

    def gradcore(self) -> str:
        parameters = with_gradients(torch.full(self.shapes[0], self.value, dtype=self.dtype))
        report = gradcore.Guard(parameters, max_norm=self.max_norm).apply()
        norm = number(report.norm, self.digits)
        return f"norm {norm}, elements {parameters[0].grad[0].item():.3g}"


class BrainFloat(DropIn):
    """The norm of 7 tensors of 1000 bfloat16 ones."""

    def run(self, library: ModuleType) -> str:
        ones = [torch.ones(1000, dtype=torch.bfloat16) for _ in range(7)]
        return f"{float(library.get_total_norm(ones)):.4g}"

    def reference(self) -> str:
        return f"{math.sqrt(7000):.4g}"


class Long(DropIn):
    """The norm of 2^24 float32 elements of 1e-4 on a CPU."""

    def run(self, library: ModuleType) -> str:
        return f"{float(library.get_total_norm([torch.full((2**24,), 1e-4)])):.3g}"

    def reference(self) -> str:
        return f"{torch.tensor(1e-4).item() * 2**12:.3g}"


class FiniteRefused(DropIn):
    """`error_if_nonfinite=True` with gradients of 1e20, all of them finite."""

    def run(self, library: ModuleType) -> str:
        try:
            library.clip_grad_norm_(
                with_gradients(torch.full((4,), 1e20)), 1.0, error_if_nonfinite=True
            )
        except RuntimeError as error:
            return error_of(error)
        return self.reference()

    def reference(self) -> str:
        return "clipped"


class Twice(DropIn):
    """A parameter of four ones listed twice, clipped to 1: its elements."""

    def run(self, library: ModuleType) -> str:
        (parameter,) = with_gradients(torch.ones(4))
        library.clip_grad_norm_([parameter, parameter], 1.0)
        return f"{parameter.grad[0].item():.5g}"

    def reference(self) -> str:
        return f"{1.0 / exact_norm([1.0] * 4):.5g}"


class Sparse(DropIn):
    """The gradient of `nn.Embedding(sparse=True)`, which holds row 2 twice: its norm."""

    def gradient(self) -> Tensor:
        table = nn.Embedding(4, 2, sparse=True)
        table(torch.tensor([2, 2, 0])).sum().backward()
        return table.weight.grad

    def run(self, library: ModuleType) -> str:
        try:
            return number(library.get_total_norm([self.gradient()]))
        except (RuntimeError, TypeError) as error:
            return error_of(error)

    def reference(self) -> str:
        return number(exact_norm(self.gradient().to_dense().double().flatten().tolist()))


class OneBad(Case):
    """A loop that clips to 1 and steps."""

    bad = math.nan

    def prepared(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
        net(torch.randn(8, 4)).square().sum().backward()
        net[2].weight.grad[0, 0] = self.bad
        return net, torch.optim.AdamW(net.named_parameters(), lr=0.1)

    def said(self, net: nn.Module, *, culprit: str) -> str:
        elements = torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
        nan = int(elements.isnan().sum())
        return f"{nan} of {elements.numel()} parameters NaN; culprit: {culprit}"

    def torch(self) -> str:
        net, optimizer = self.prepared()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        bad = [n for n, p in net.named_parameters() if not p.grad.isfinite().all()]
        return self.said(net, culprit=f"any of {len(bad)}" if len(bad) > 1 else f"`{bad[0]}`")

    def gradcore(self) -> str:
        net, optimizer = self.prepared()
        report = gradcore.safe_step(optimizer, max_norm=1.0)
        return self.said(net, culprit=f"`{report.first_nonfinite}`")

    def reference(self) -> str:
        return self.said(self.prepared()[0], culprit="`2.weight`")


class OneNan(OneBad):
    """A step of AdamW with one NaN in the gradient of `2.weight`, clipped to 1."""


class OneInfinity(OneBad):
    """The same with one infinity, of which torch's clipping makes a NaN beside zeros."""

    bad = math.inf


CASES: tuple[type[Case], ...] = (
    Huge,
    HugeDouble,
    Tiny,
    HalfPrecision,
    LargestOfBrain,
    BrainFloat,
    Long,
    FiniteRefused,
    Twice,
    Sparse,
    OneNan,
    OneInfinity,
)

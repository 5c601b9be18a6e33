"""Graphs of the device that tests run on, for whole guarded steps."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepping import Run


def graph_of(device: torch.device) -> Any:
    """An empty graph, to be captured with `capturing`."""
    if device.type == "cuda":
        return torch.cuda.CUDAGraph()
    import software  # noqa: PLC0415 - only where there is such a device

    return software.Graph()


@contextlib.contextmanager
def capturing(graph: Any) -> Iterator[None]:
    """Capture what is queued in the context."""
    with torch.cuda.graph(graph) if isinstance(graph, torch.cuda.CUDAGraph) else graph:
        yield


class Captured:
    """Steps of a run as one graph, replayed on new gradients; the backward pass is not in it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        run.step()  # so that the state of the optimizer is there
        assert run.guard.history[-1].step == 0
        self.parameters = list(run.model.parameters())
        run.backward()
        self.static = [parameter.grad.clone() for parameter in self.parameters]
        self.loss = torch.zeros((), device=run.device)
        for parameter, gradient in zip(self.parameters, self.static, strict=True):
            parameter.grad = gradient
        self.graph = graph_of(torch.device(run.device))
        with capturing(self.graph):
            self.captured = run.guard.step(run.optimizer, loss=self.loss)
        run.count -= 1  # that batch is to be seen yet

    def step(self, *faults: float) -> Any:
        """A replay, on the gradients of a new batch."""
        loss = self.run.backward(*faults)
        for parameter, gradient in zip(self.parameters, self.static, strict=True):
            gradient.copy_(parameter.grad)
            parameter.grad = gradient
        self.loss.copy_(loss)
        return self.captured.replay(self.graph)

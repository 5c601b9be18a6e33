"""The hooks behind `trace_nonfinite`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import torch
from torch import Tensor, nn

from gradcore.errors import NonfiniteGradientError
from gradcore.monitors.event import LOSS, NonfiniteEvent
from gradcore.monitors.finiteness import Finiteness, floating
from gradcore.monitors.graph import GraphOwners
from gradcore.monitors.judging import Judge, Passage, clean
from gradcore.monitors.tensors import tensors_in

if TYPE_CHECKING:
    from types import TracebackType

    from torch.utils.hooks import RemovableHandle
    from typing_extensions import Self

logger: logging.Logger = logging.getLogger("gradcore")

Action = Literal["raise", "log"]
Gradients = Sequence[Tensor | None]

UNSEEN: Final = (
    "trace_nonfinite saw no forward pass of the model, so nothing is known of it. If the model is"
    " compiled, trace what torch.compile(model) returned: hooks of a module within compiled code"
    " do not run, nor do those of one that model.compile() was called on."
)


class NonfiniteTracer:
    """What `trace_nonfinite` yields.

    Attributes:
        event: The first event since tracing began or since `reset`; None if all was finite so far.
    """

    def __init__(self, model: nn.Module, action: Action, at_once: bool | None) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a module; got {type(model).__name__}.")
        if action not in get_args(Action):
            raise ValueError(f"action must be 'raise' or 'log'; got {action!r}.")
        self.event: NonfiniteEvent | None = None
        self._model = model
        self._action = action
        self._finiteness = Finiteness(at_once=at_once)
        self._owners = GraphOwners()
        self._judge = Judge(model, self._found)
        self._handles: list[RemovableHandle] = []
        self._queued = False
        self._ran = False

    def reset(self) -> None:
        """Forget the event, and look for the next one."""
        self.event = None
        self._judge.forget()

    def __enter__(self) -> Self:
        self._ran = False
        self._handles.append(self._model.register_forward_pre_hook(self._begin))
        for name, module in self._model.named_modules():
            hook = partial(self._forward, name)
            self._handles.append(module.register_forward_hook(hook, with_kwargs=True))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and not self._ran:
                logger.warning(UNSEEN)
            if error is None and self._watching():
                self._look_back()
        finally:
            for handle in self._handles:
                handle.remove()
            self._handles.clear()
            self._judge.forget()
            self._forget_tensors()

    def _watching(self) -> bool:
        done = self._action == "log" and self.event is not None
        return bool(self._handles) and not done

    def _begin(self, _module: nn.Module, _args: object) -> None:
        if torch.compiler.is_compiling():
            return
        self._ran = True
        if self._watching():
            self._look_back()
            self._judge.forget()
            self._forget_tensors()

    def _forward(
        self,
        name: str,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        output: object,
    ) -> None:
        """Look at what a module returned, and claim the nodes of the graph that it made."""
        if torch.compiler.is_compiling() or not self._watching():
            return
        given = floating(tensors_in([args, kwargs]))
        returned = floating(tensors_in(output))
        # A module that works in place returns what it was given.
        before = {
            index: mark
            for index, tensor in enumerate(given)
            if any(tensor is each for each in returned)
            and (mark := self._finiteness.before(tensor)) is not None
        }
        borders = [tensor for index, tensor in enumerate(given) if index not in before]
        for node, operation in self._owners.claim(borders, returned):
            node.register_hook(partial(self._backward, name, operation))
        outermost = module is self._model
        marks = [self._finiteness.of_output(tensor) for tensor in returned]
        passage = Passage(name, "forward", None, (), marks, outermost)
        if passage.late or not clean(marks):
            passage.given = [
                before[index]
                if index in before
                else self._finiteness.of_input(tensor, first=index == 0)
                for index, tensor in enumerate(given)
            ]
        self._judge.take(passage, given, returned)
        if outermost:
            self._forget_tensors()
            for tensor in returned:
                if tensor.grad_fn is not None:
                    tensor.grad_fn.register_prehook(self._from_loss)

    def _from_loss(self, arrived: Gradients) -> None:
        """Look at a gradient that comes to the model's output."""
        if self._watching():
            given = _present(arrived)
            marks = [self._finiteness.of(gradient) for gradient in given]
            self._take_back(Passage(LOSS, "backward", None, (), marks), (), given)

    def _backward(
        self, name: str, operation: str, handed_on: Gradients, arrived: Gradients
    ) -> None:
        """Look at the gradients that a node hands on."""
        if not self._watching():
            return
        given = _present(arrived)
        # A sum hands on the very gradient that arrived.
        returned = [g for g in _present(handed_on) if not any(g is each for each in given)]
        marks = [self._finiteness.of(gradient) for gradient in returned]
        passage = Passage(name, "backward", operation, (), marks)
        if not passage.late and not clean(marks):
            passage.given = [self._finiteness.of(gradient) for gradient in given]
        self._take_back(passage, given, returned)

    def _take_back(
        self, passage: Passage, given: Sequence[Tensor], returned: Sequence[Tensor]
    ) -> None:
        if not returned:
            return
        if passage.late and not self._queued:
            self._queued = True
            # Runs when all of this backward pass has been issued; what it raises, backward raises.
            engine = torch.autograd.Variable._execution_engine  # noqa: SLF001 - as FSDP does
            engine.queue_callback(self._look_back)
        self._judge.take(passage, given, returned)

    def _look_back(self) -> None:
        self._queued = False
        self._judge.look_back()

    def _forget_tensors(self) -> None:
        self._owners.clear()
        self._finiteness.clear()

    def _found(self, event: NonfiniteEvent) -> None:
        if self.event is None:
            self.event = event
            if self._action == "log":
                logger.warning("%s", event)
        if self._action == "raise":
            self._judge.forget()
            raise NonfiniteGradientError(str(event))


def _present(gradients: Gradients) -> list[Tensor]:
    return [gradient for gradient in gradients if gradient is not None]

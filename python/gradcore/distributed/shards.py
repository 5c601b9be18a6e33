"""The parameters of a guard as far as this rank holds them: plain tensors, with gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from gradcore.distributed.partials import Pending, pending_of
from gradcore.distributed.sharding import is_sharded, local_of
from gradcore.parameters import explained

if TYPE_CHECKING:
    from torch import Tensor


class Shards:
    """Stands for `Parameters` where some of them are DTensors.

    In place of each DTensor there is a tensor that shares its memory, and whose ``grad`` shares
    that of its gradient: what is measured and written is what this rank holds.

    Args:
        names: Of the parameters.
        parameters: DTensors, and others, which stand for themselves.
    """

    def __init__(self, names: Sequence[str], parameters: list[Tensor]) -> None:
        self.names: tuple[str, ...] = tuple(names)
        self.parameters = parameters
        self._locals = [local_of(p) if is_sharded(p) else p for p in parameters]
        self.tensors: list[Tensor] = [
            local.detach() if is_sharded(p) else p
            for p, local in zip(parameters, self._locals, strict=True)
        ]

    def take_gradients(self, summed: Mapping[int, Tensor] = MappingProxyType({})) -> bool:
        """See the gradients as they are now.

        Args:
            summed: Gradients that were still to be summed up, as they are now, by their numbers.

        Returns:
            Whether there is no other one that is still to be summed up.

        Raises:
            TypeError: One is not divided as its parameter is.
        """
        complete = True
        for i, parameter in enumerate(self.parameters):
            if not is_sharded(parameter):
                continue
            local = local_of(parameter)
            if local is not self._locals[i]:  # the memory of its shard was replaced
                self._locals[i], self.tensors[i] = local, local.detach()
            if i in summed:
                self.tensors[i].grad = summed[i]
                continue
            self.tensors[i].grad, pending = self._gradient(self.names[i], parameter)
            complete = complete and not pending
        return complete

    def release_gradients(self) -> None:
        """Hold them no longer, so that their memory is free once the caller lets go of them."""
        for parameter, tensor in zip(self.parameters, self.tensors, strict=True):
            if tensor is not parameter:
                tensor.grad = None

    def explain(self, error: TypeError) -> TypeError:
        """The error that native code raised, with the name of the parameter it was about."""
        return explained(error, self.names, self.tensors)

    @staticmethod
    def _gradient(name: str, parameter: Tensor) -> tuple[Tensor | None, Pending]:
        """What this rank holds of the gradient, and what it is yet to be reduced over."""
        gradient = parameter.grad
        if gradient is None:
            return None, ()
        if not is_sharded(gradient) or not is_sharded(parameter):
            raise TypeError(
                f"The gradient of {name!r} is a {type(gradient).__name__} and the parameter a "
                f"{type(parameter).__name__}. Give both the same placements."
            )
        pending = pending_of(parameter)
        if pending is None:
            raise TypeError(
                f"The gradient of {name!r} is placed {gradient.placements} and the parameter "
                f"{parameter.placements}, which is not supported. Redistribute the gradient: "
                "p.grad = p.grad.redistribute(placements=p.placements)."
            )
        return local_of(gradient), pending

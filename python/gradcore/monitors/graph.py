"""Whose code made which node of the backward graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import Tensor
    from torch.autograd.graph import Node

HARMLESS: Final = (
    "Alias",
    "AsStrided",
    "Clone",
    "Permute",
    "Reshape",
    "Select",
    "Slice",
    "Split",
    "Squeeze",
    "TBackward",
    "Transpose",
    "Unbind",
    "UnsafeSplit",
    "UnsafeView",
    "Unsqueeze",
    "View",
)
"""Beginnings of names of nodes that move elements, and so cannot make one non-finite."""


class GraphOwners:
    """Tells the modules of a model, as each finishes its forward pass, which nodes are its own.

    A module's nodes are those between what it was given and what it returned, but for those that
    modules within it have made.  Modules finish from the inside out, so a node belongs to the
    innermost one, and a node that two modules are separated by to the one around them.
    """

    def __init__(self) -> None:
        self._between: list[Node] = []
        self._key = object()  # in the metadata of claimed nodes, which others may claim as well

    def clear(self) -> None:
        """Forget nodes that nobody claimed."""
        self._between.clear()

    def claim(self, given: Iterable[Tensor], returned: Iterable[Tensor]) -> list[tuple[Node, str]]:
        """The nodes, with their names, that a module has made and that could do harm."""
        borders = {tensor.grad_fn for tensor in given if tensor.grad_fn is not None}
        waiting = [tensor.grad_fn for tensor in returned if tensor.grad_fn is not None]
        # What modules within this one were given, and no module made.
        waiting += self._between
        self._between = []
        claimed = []
        while waiting:
            node = waiting.pop()
            name = node.name()
            if name == "torch::autograd::AccumulateGrad" or self._claimed(node):
                continue
            if node in borders:
                continue
            _metadata(node)[self._key] = True
            if not name.startswith(HARMLESS):
                claimed.append((node, name))
            waiting += [following for following, _ in node.next_functions if following is not None]
        self._between += [node for node in borders if not self._claimed(node)]
        return claimed

    def _claimed(self, node: Node) -> bool:
        return self._key in _metadata(node)


def _metadata(node: Node) -> dict[Any, Any]:
    # An attribute, which torch's types take for a method.
    return node.metadata  # type: ignore[return-value]

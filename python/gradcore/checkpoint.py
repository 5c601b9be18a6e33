"""The memory of a guard as tensors and plain values, which load with ``weights_only=True``."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from gradcore.history import History

if TYPE_CHECKING:
    from gradcore.guard import Guard

FORMAT: Final = 1
KEYS: Final = frozenset(
    {"format", "parameters", "steps", "consecutive", "clip", "nonfinite", "history"}
)


def state_of(guard: Guard) -> dict[str, Any]:
    """Everything with memory: counters, strategy, policy, history."""
    guard.last.take_in()
    _renew(guard)
    return {
        "format": FORMAT,
        "parameters": list(guard.names),
        "bound": list(guard.bind.names),  # of all ranks, where there are several
        "steps": guard.steps,
        "consecutive": guard.streak.length,
        # A copy: a module's state_dict() shares its memory, and the next step writes to it.
        **{
            key: {"name": _name(part), "memory": copy.deepcopy(_memory(part))}
            for key, part in _parts(guard)
        },
        "history": guard.history.state_dict(),
    }


def load_into(guard: Guard, state: dict[str, Any]) -> None:
    """Give ``guard`` the memory in ``state``.

    Raises:
        ValueError: ``state`` is of another format, or of a guard with other parameters, another
            strategy or policy; the guard is as it was.
        RuntimeError: The memory does not fit the strategy; the guard is as it was.
    """
    guard.last.take_in()
    _renew(guard)
    _require_fit(guard, state)
    history = History(guard.recorded.capacity)
    history.load_state_dict(state["history"])
    before = copy.deepcopy({key: _memory(part) for key, part in _parts(guard)})
    bound = guard.bind.names
    try:
        guard.bind(tuple(state.get("bound", guard.names)))
        for key, part in _parts(guard):
            _remember(part, state[key]["memory"])
    except Exception:
        guard.bind(bound)
        for key, part in _parts(guard):
            _remember(part, before[key])
        raise
    guard.recorded = history
    guard.steps = state["steps"]
    guard.streak.length = state["consecutive"]
    if guard.rollback is not None:
        guard.rollback.forget()  # parameters may have been loaded too


def continue_from(guard: Guard, other: Guard) -> None:
    """Let ``guard`` go on with the counters and the history of another one."""
    guard.recorded = other.history  # which waits for the last report of that one
    guard.steps, guard.streak = other.steps, other.streak
    guard.last.error, other.last.error = other.last.error, None
    if guard.rollback is not None:
        guard.rollback = guard.rollback.after(other.rollback)
    guard.across.continue_from(other.across)


def _renew(guard: Guard) -> None:
    """See parameters that were added since the last step, which a guard made now would have."""
    before = guard.names
    guard.parameters.renew()
    if guard.names != before:
        guard.bind(guard.names)


def _require_fit(guard: Guard, state: dict[str, Any]) -> None:
    if state.get("format") != FORMAT or not state.keys() >= KEYS:
        raise ValueError(
            f"The state of a guard has format {FORMAT} and the keys {', '.join(sorted(KEYS))}; got "
            f"format {state.get('format')!r} and {', '.join(sorted(map(str, state)))}. It may have "
            "been saved by another version of gradcore."
        )
    if state["parameters"] != list(guard.names):
        raise ValueError(
            f"The state is of a guard of {len(state['parameters'])} parameters; this one has "
            f"{len(guard.names)}, or other names. Make the guard for the same model."
        )
    for key in ("steps", "consecutive"):
        if not isinstance(state[key], int) or state[key] < 0:
            raise ValueError(f"{key} must be a whole number of at least 0; got {state[key]!r}.")
    for key, part in _parts(guard):
        if not isinstance(state[key], dict) or not state[key].keys() >= {"name", "memory"}:
            raise ValueError(f"{key} must be a dict of name and memory; got {state[key]!r}.")
        mine, saved = _name(part), state[key]["name"]
        if mine != saved:
            raise ValueError(
                f"The state is of a guard with {key}={saved!r}; this one has {mine!r}."
            )


def _parts(guard: Guard) -> tuple[tuple[str, object], ...]:
    return ("clip", guard.clip), ("nonfinite", guard.nonfinite)


def _name(part: object) -> str | None:
    return getattr(part, "name", None)


def _remember(part: object, memory: Any) -> None:
    load = getattr(part, "load_state_dict", None)
    if load is not None:
        load(memory)


def _memory(part: object) -> Any:
    state_dict = getattr(part, "state_dict", None)
    return state_dict() if state_dict else {}

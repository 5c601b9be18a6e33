"""What a guarded step of 20 small tensors adds to the optimizer's, and which part takes how long.

Parts are timed where they stand, one at a time, by a wrapper that takes 0.15 us itself: after a
step of the optimizer they find none of their code in the caches, and take up to twice what they do
in a loop of their own.  The least of some hundred steps, in microseconds.

    OMP_NUM_THREADS=1 python benchmarks/small_step.py
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import torch

from gradcore import Guard, core, guard, protection, reporting
from gradcore.cli.bench.workloads import WORKLOADS, parameters_of
from gradcore.history import History
from gradcore.nonfinite import Skip
from gradcore.strategies import GlobalNorm

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS: Final = 400

PARTS: Final[dict[str, tuple[Any, str]]] = {
    "before the step": (guard, "begun"),
    "up to the optimizer": (guard, "protect"),
    "  measured": (protection, "_measured"),
    "    natively": (core.native, "measure"),
    "    what is asked of every table": (core, "totals"),
    "  decided": (protection, "decide"),
    "    policy": (Skip, "__call__"),
    "    strategy": (GlobalNorm, "__call__"),
    "  on the host": (protection, "_fetched"),
    "  reported": (protection, "report_of"),
    "    the report itself": (reporting, "Report"),
    "shown": (guard, "show"),
    "  history": (History, "append"),
}


def main() -> None:
    """Print the parts, and what all of it adds."""
    parameters = parameters_of(WORKLOADS["tiny"](), torch.float32)
    optimizer = torch.optim.SGD(parameters, lr=0.0)
    guarding = Guard(optimizer, max_norm=1e9)

    def both() -> tuple[float, float]:
        """The least of a bare step and of a guarded one, by turns."""
        bare, guarded = [], []
        for _ in range(STEPS):
            bare.append(_taken(optimizer.step))
            guarded.append(_taken(lambda: guarding.step(optimizer)))
        return min(bare), min(guarded)

    both()
    bare, guarded = both()
    print(f"{'a bare step':34} {bare:6.1f}")
    print(f"{'added by the guard':34} {guarded - bare:6.1f}")
    for part, (owner, name) in PARTS.items():
        function, times = getattr(owner, name), list[float]()
        setattr(owner, name, _timed(function, times))
        both()
        setattr(owner, name, function)
        print(f"{part:34} {min(times):6.1f}")


def _taken(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e6


def _timed(function: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    def wrapper(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments, **options)
        times.append((time.perf_counter() - start) * 1e6)
        return result

    return wrapper


if __name__ == "__main__":
    main()

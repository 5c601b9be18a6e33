"""Whether an installed gradcore works: a program that needs nothing beyond it, pytest neither.

Run with ``python -I``, so that it is the installed one, by ``nox -s wheels`` and cibuildwheel.
Values are those that one can work out by hand.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import torch

import gradcore

NAN = float("nan")


def owner(*values: float, dtype: torch.dtype = torch.float32) -> torch.nn.Parameter:
    """A parameter of ones with these values as its gradient."""
    parameter = torch.nn.Parameter(torch.ones(len(values), dtype=dtype))
    parameter.grad = torch.tensor(values, dtype=dtype)
    return parameter


def version_and_types_are_part_of_the_distribution() -> None:
    """The version of the compiled core is the one that pip knows; type checkers find their mark."""
    assert gradcore.__version__ == metadata.version("gradcore")
    folder = Path(gradcore.__file__).parent
    assert (folder / "py.typed").is_file()
    assert (folder / "_native.pyi").is_file()
    assert (folder / "page" / "page.html").is_file()


def it_needs_no_more_than_it_says() -> None:
    """Torch, numpy and pluggy are all that was imported of others."""
    program = (
        "import sys, torch, numpy, pluggy; before = set(sys.modules); import gradcore;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    others = set(loaded) - {"gradcore", "numpy", "pluggy", *sys.stdlib_module_names}
    assert not others, others


def norms_are_right_where_torch_overflows() -> None:
    """3, 4, 5 in every dtype, and at 1e20, where the square is beyond float32."""
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert gradcore.measure([owner(3.0, 4.0, dtype=dtype)]).norm.item() == 5.0
    for dtype in (torch.complex64, torch.complex128):
        assert gradcore.measure([owner(3.0, 4.0, dtype=dtype)]).norm.item() == 5.0
    norm = gradcore.measure([owner(3e20, 4e20)]).norm.item()
    assert math.isclose(norm, 5e20, rel_tol=1e-6), norm


def every_set_of_instructions_counts_alike() -> None:
    """Each kind of kernel that this processor can run gives the same bits."""
    program = (
        "import torch, gradcore; torch.manual_seed(0); p = torch.nn.Parameter(torch.zeros(100003));"
        "p.grad = torch.randn(100003); print(gradcore.measure([p]).norm.item().hex())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-I", "-c", program],
            check=True, capture_output=True, text=True, env={**os.environ, "GRADCORE_CPU": kernels},
        ).stdout
        for kernels in gradcore.loading.native.cpu_supported
    }  # fmt: skip
    assert len(said) == 1, said


def a_nan_changes_nothing() -> None:
    """The step is skipped, parameters and optimizer are what they were, and it is said."""
    parameter = owner(1.0, NAN)
    optimizer = torch.optim.Adam([("weight", parameter)])
    report = gradcore.safe_step(optimizer, max_norm=1.0)
    assert report.skipped
    assert report.first_nonfinite == "weight"
    assert parameter.detach().tolist() == [1.0, 1.0]
    assert not optimizer.state


def clipping_gives_the_bound() -> None:
    """(3, 4) becomes (0.6, 0.8)."""
    parameter = owner(3.0, 4.0)
    report = gradcore.Guard([("weight", parameter)], max_norm=1.0).apply()
    assert report.norm == 5.0
    assert torch.allclose(parameter.grad, torch.tensor([0.6, 0.8]))


def operators_are_registered() -> None:
    """torch.compile and torch.export find them by name."""
    assert torch.ops.gradcore.measure.default
    assert torch.ops.gradcore.apply_.default


def memory_survives_a_file() -> None:
    """A guard with a memory, saved and loaded with weights_only."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "guard.pt"
        guard = gradcore.Guard([("weight", owner(3.0, 4.0))], clip="ema")
        guard.apply()
        torch.save(guard.state_dict(), path)
        other = gradcore.Guard([("weight", owner(3.0, 4.0))], clip="ema")
        other.load_state_dict(torch.load(path, weights_only=True))
    assert other.steps == 1
    assert other.history[0].norm == 5.0


def a_log_is_read_back() -> None:
    """What the sink wrote is what History reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        with gradcore.Guard([("w", owner(3.0, 4.0))], sinks=[("jsonl", {"path": path})]) as guard:
            guard.apply()
        assert json.loads(path.read_text().splitlines()[-1])["norm"] == 5.0
        assert [report.norm for report in gradcore.History.load(path)] == [5.0]


def a_configuration_is_read() -> None:
    """From TOML, where Python has a reader or tomli is installed."""
    if sys.version_info < (3, 11) and importlib.util.find_spec("tomli") is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "guard.toml"
        path.write_text("[guard]\nmax_norm = 1.0\n")
        assert gradcore.Guard.from_config([owner(3.0, 4.0)], path).apply().clipped_norm == 1.0


CLAIMS: tuple[Callable[[], None], ...] = (
    version_and_types_are_part_of_the_distribution,
    it_needs_no_more_than_it_says,
    norms_are_right_where_torch_overflows,
    every_set_of_instructions_counts_alike,
    a_nan_changes_nothing,
    clipping_gives_the_bound,
    operators_are_registered,
    memory_survives_a_file,
    a_log_is_read_back,
    a_configuration_is_read,
)


def main() -> None:
    """Try each; the first that does not hold ends the program with its traceback."""
    for claim in CLAIMS:
        claim()
        print(f"passed  {claim.__name__}")
    build = gradcore.build_info()
    where = Path(gradcore.__file__).parent
    print(f"{len(CLAIMS)} passed: {build} in {where}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()

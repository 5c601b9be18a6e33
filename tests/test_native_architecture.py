"""Which layer of the native core may include which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TORCH = r"torch/|ATen/|c10/"
PYTHON = r"pybind11|Python\.h|torch/extension\.h|torch/csrc/"
MUST_NOT_INCLUDE = {
    "kernels": rf"{TORCH}|{PYTHON}|tensors/|bindings/|cuda/|cuda",
    "tensors": rf"{PYTHON}|bindings/|cuda/|cuda",
    "bindings": r"kernels/|cuda/|cuda",
    "cuda": rf"{PYTHON}|bindings/",
}


def sources(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in {".cpp", ".hpp", ".cu", ".cuh"})


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sources(ROOT / "cpp"), ids=lambda path: path.name)
def test_a_layer_of_the_core_is_blind_to_the_others(path):
    layer = path.relative_to(ROOT / "cpp").parts[0]

    forbidden = re.compile(MUST_NOT_INCLUDE[layer])
    assert [name for name in includes(path) if forbidden.match(name)] == []


def reached(path: Path) -> set[str]:
    """Everything that a source includes, and what that includes of ours."""
    found = set()
    for name in includes(path):
        candidates = (ROOT / "cpp" / name, path.parent / name)
        ours = next((candidate for candidate in candidates if candidate.exists()), None)
        found |= {name} | (reached(ours) if ours else set())
    return found


@pytest.mark.parametrize(
    "path", [p for p in sources(ROOT / "cpp" / "cuda") if p.suffix == ".cu"], ids=lambda p: p.name
)
def test_device_code_is_free_of_torch(path):
    assert [name for name in reached(path) if re.match(rf"{TORCH}|tensors/", name)] == []


@pytest.mark.parametrize("path", sources(ROOT / "cpp" / "kernels"), ids=lambda path: path.name)
def test_kernels_neither_allocate_nor_throw(path):
    code = re.sub(r"//.*", "", path.read_text())

    assert re.findall(r"\b(throw|new|malloc|std::vector|std::string)\b", code) == []

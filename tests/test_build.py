"""What was built is what it says, and it refuses to run where it does not fit."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
import torch

import gradcore
from gradcore.loading import native

ROOT = Path(__file__).parents[1]
BUILT_FOR = ".".join(torch.__version__.split(".")[:2])


def python(source: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own, which has not imported gradcore yet."""
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )


def torch_pin() -> ModuleType:
    path = ROOT / "cpp" / "cmake" / "torch_pin.py"
    spec = importlib.util.spec_from_file_location("torch_pin", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_build_info_tells_version_torch_and_openmp():
    info = gradcore.build_info()

    assert set(info) == {"version", "torch", "cuda", "cpu", "cpu_in_use", "openmp"}
    assert info["torch"] == torch.__version__
    assert info["openmp"] is True


def test_cuda_is_told_only_where_its_library_lies_beside_the_core():
    told = gradcore.build_info()["cuda"]

    assert bool(told) == Path(native.__file__).with_name("_cuda.so").exists()


def test_the_version_is_that_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "([^"]+)"', text, re.MULTILINE)

    assert found is not None
    assert gradcore.build_info()["version"] == found.group(1)
    assert gradcore.__version__ == found.group(1)


def test_the_distribution_requires_the_minor_version_of_torch_that_it_was_built_with():
    requirements = metadata.requires("gradcore")

    assert requirements is not None
    assert f"torch=={BUILT_FOR}.*" in requirements


@pytest.mark.parametrize("running", ["2.99.0", "3.13.0+cpu", "1.13.1"])
def test_import_under_another_minor_version_of_torch_says_the_cure(running):
    process = python(f"import torch; torch.__version__ = {running!r}; import gradcore")

    assert process.returncode == 1
    error = process.stderr.splitlines()[-1]
    assert error.startswith("ImportError: ")
    assert BUILT_FOR in error
    assert f"torch {running} (in {Path(torch.__file__).parent}) is running" in error
    assert f"compiled for torch {BUILT_FOR}, but" in error
    assert f"`pip install 'torch=={BUILT_FOR}.*'`" in error
    assert "--no-binary gradcore gradcore" in error


def test_import_under_another_patch_version_of_torch_works():
    process = python(f"import torch; torch.__version__ = '{BUILT_FOR}.99+cu1'; import gradcore")

    assert process.returncode == 0, process.stderr


def test_import_without_the_native_core_says_the_cure():
    process = python("import sys; sys.modules['gradcore._native'] = None; import gradcore")

    assert process.returncode == 1
    error = process.stderr.splitlines()[-1]
    assert error.startswith("ImportError: ")
    assert str(Path(gradcore.__file__).parent) in error
    assert "pip install --force-reinstall --no-deps ." in error


def test_import_needs_only_torch_numpy_and_pluggy():
    others = ["rich", "matplotlib", "hypothesis", "pytest"]
    process = python(f"import sys; sys.modules.update(dict.fromkeys({others})); import gradcore")

    assert process.returncode == 0, process.stderr


def test_import_loads_no_plugin_and_writes_nothing():
    process = python(
        "import sys, gradcore\nassert not [m for m in sys.modules if m.startswith('gradcore_')]"
    )

    assert process.returncode == 0, process.stderr
    assert process.stdout == ""
    assert process.stderr == ""


class TestTorchPin:
    """The build hook that finds torch and pins the wheel to it."""

    def test_finds_the_torch_of_this_environment(self):
        found = torch_pin().find_torch()

        assert found.folder == Path(torch.__file__).parent
        assert found.version == torch.__version__
        assert found.cuda == torch.version.cuda
        assert found.minor == BUILT_FOR

    @pytest.mark.parametrize("state", ["wheel", "editable", "metadata_wheel", "metadata_editable"])
    def test_a_wheel_is_pinned_to_the_minor_version(self, state):
        provider = torch_pin().Provider()
        provider.build_state(state)

        dependencies = provider.dynamic_metadata({}, {})["dependencies"]
        assert dependencies[0] == f"torch=={BUILT_FOR}.*"

    def test_an_sdist_fits_any_torch(self):
        provider = torch_pin().Provider()
        provider.build_state("sdist")

        assert provider.dynamic_metadata({}, {})["dependencies"][0] == "torch>=2.11"

    def test_torch_is_fetched_only_where_there_is_none(self, monkeypatch):
        hook = torch_pin()
        assert hook.Provider().get_requires_for_dynamic_metadata({}) == []

        monkeypatch.setattr(hook, "find_torch", lambda: None)
        assert hook.Provider().get_requires_for_dynamic_metadata({}) == ["torch==2.13.0"]

    def test_another_torch_than_the_one_asked_for_is_refused(self, monkeypatch):
        hook = torch_pin()
        monkeypatch.setattr(hook, "FORCED_TORCH", "2.99.0")

        with pytest.raises(SystemExit, match=r"GRADCORE_BUILD_TORCH asks for torch 2\.99\.0"):
            hook.main()

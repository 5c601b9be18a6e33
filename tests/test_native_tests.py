"""The C++ tests pass: they are configured, built and run by CTest, as part of this suite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIRED = bool(os.environ.get("GRADCORE_REQUIRE_CPP_TESTS"))


def missing(what: str) -> None:
    """Skip for want of a tool, or fail where tests were declared to be indispensable."""
    if REQUIRED:
        pytest.fail(f"GRADCORE_REQUIRE_CPP_TESTS is set, and there is no {what}.")
    pytest.skip(f"no {what}")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def succeeded(process: subprocess.CompletedProcess[str]) -> bool:
    """Whether it did; if not, pytest shows what it printed."""
    sys.stdout.write(process.stdout)
    sys.stderr.write(process.stderr)
    return process.returncode == 0


@pytest.mark.timeout(600)
def test_the_cpp_tests_build_without_warnings_and_pass(tmp_path):
    cmake, ctest = shutil.which("cmake"), shutil.which("ctest")
    if cmake is None or ctest is None:
        missing("CMake")
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        missing("C++ compiler")
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "GRADCORE_CUDA": "OFF",
        "GRADCORE_TESTS": "ON",
        "GRADCORE_WERROR": "ON",
        "Python_EXECUTABLE": sys.executable,
    }
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []

    configured = run(
        *(cmake, "-S", ROOT, "-B", tmp_path, *generator),
        *(f"-D{name}={value}" for name, value in options.items()),
    )
    if "GTest was not found" in configured.stderr:
        missing("GTest")
    assert succeeded(configured)
    assert succeeded(
        run(cmake, "--build", tmp_path, "--target", "gradcore_cpp_tests", "--parallel", "2")
    )
    assert succeeded(run(ctest, "--test-dir", tmp_path, "--output-on-failure", "--no-tests=error"))
    nm = shutil.which("nm")
    if nm is not None:
        assert shared_code(nm, tmp_path) == ""


def shared_code(nm: str, build: Path) -> str:
    """Functions that the linker may take from any kernel that has them, whatever its instructions.

    Kernels for several instruction sets lie in one library: a weak function of the AVX-512 ones may
    be what the baseline ones then call, on a processor that has no AVX-512.
    """
    kernels = sorted(build.glob("CMakeFiles/gradcore_kernels_*.dir/**/*.o"))
    assert kernels
    listed = run(nm, "--print-file-name", *kernels)
    assert succeeded(listed)
    weak = [line for line in listed.stdout.splitlines() if line.split()[-2] in {"W", "w"}]
    return "\n".join(weak)

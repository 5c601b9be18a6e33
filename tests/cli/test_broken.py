"""The command answers where gradcore cannot be imported: real installations, broken on purpose."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import torch

import gradcore
import gradcore_command

PACKAGES = Path(torch.__file__).parents[1]
MINOR = ".".join(torch.__version__.split(".")[:2])
SCRIPT = "import sys; from gradcore_command import main; sys.exit(main())"


class Installation:
    """A virtual environment with what is installed here, linked, and a copy of gradcore."""

    def __init__(self, folder):
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.packages = folder / "lib" / version / "site-packages"
        ours = ("gradcore", "__editable__", "_gradcore", "__pycache__", "torch")
        for path in PACKAGES.iterdir():
            kept = path.name in {"torchgen", "torch"} or not path.name.startswith(ours)
            if kept and path.suffix != ".pth":
                (self.packages / path.name).symlink_to(path)
        for package in (gradcore, gradcore_command):
            source = Path(package.__file__).parent
            shutil.copytree(
                source,
                self.packages / source.name,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        self.note("gradcore", "0.1.0", f"torch=={MINOR}.*", "numpy>=1.24", "pluggy", "rich")
        self.note("torch", torch.__version__)

    def note(self, name, version, *requirements):
        """What pip leaves of a package that it installed."""
        for old in self.packages.glob(f"{name}-*.dist-info"):
            shutil.rmtree(old)
        info = self.packages / f"{name}-{version}.dist-info"
        info.mkdir()
        lines = [f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {each}" for each in requirements]
        (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")

    def replace(self, name, source):
        """Another package in place of one."""
        self.remove(name)
        (self.packages / name).mkdir()
        (self.packages / name / "__init__.py").write_text(source)

    def remove(self, name):
        (self.packages / name).unlink()

    def torch_of(self, version):
        """The torch that is there, which says that it is another."""
        self.remove("torch")
        (self.packages / "torch").mkdir()
        for path in (PACKAGES / "torch").iterdir():
            (self.packages / "torch" / path.name).symlink_to(path)
        told = self.packages / "torch" / "version.py"
        text = told.read_text().replace(torch.__version__, version)
        told.unlink()
        told.write_text(text)

    def run(self, *arguments):
        return subprocess.run(
            [self.python, "-I", "-c", SCRIPT, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )


@pytest.fixture
def installed(tmp_path):
    return Installation(tmp_path / "venv")


def problems(done):
    """What doctor names, and nothing is left as a traceback."""
    assert "Traceback" not in done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("Problem", "Cure"))]


def test_a_whole_installation_is_not_touched_by_any_of_this(installed):
    done = installed.run("--version")

    assert (done.returncode, done.stdout) == (0, f"gradcore {gradcore.__version__}\n")


def test_a_copy_without_its_core(installed):
    for core in (installed.packages / "gradcore").glob("_native.*.so"):
        core.unlink()

    done = installed.run("doctor")

    assert done.returncode == 1
    what, cure = problems(done)
    assert what.startswith(f"Problem 1: There is no native core in {installed.packages}/gradcore")
    assert f"{installed.python} -m pip install --force-reinstall" in cure


def test_a_core_of_another_python(installed):
    [core] = (installed.packages / "gradcore").glob("_native.*.so")
    core.rename(core.with_name("_native.cpython-38-x86_64-linux-gnu.so"))

    [what, _] = problems(installed.run("doctor"))

    assert "is for another Python: _native.cpython-38-x86_64-linux-gnu.so; this one" in what


def test_a_torch_that_gradcore_was_not_compiled_for(installed):
    installed.torch_of("2.99.1+cpu")
    installed.note("torch", "2.99.1+cpu")

    done = installed.run("doctor")

    assert done.returncode == 1
    what, cure = problems(done)
    assert f"compiled for torch=={MINOR}.*, and torch 2.99.1+cpu" in what
    assert f"pip install 'torch=={MINOR}.*'" in cure
    assert "--no-binary gradcore gradcore" in cure


def test_two_versions_of_torch_in_one_place(installed):
    installed.torch_of("2.99.1")

    what, *_ = problems(installed.run("doctor"))

    assert f"mixed: pip has noted {torch.__version__}, and what lies in" in what
    assert what.endswith("is 2.99.1.")


@pytest.mark.parametrize("name", ["torch", "numpy", "pluggy", "rich"])
def test_a_package_that_is_missing(installed, name):
    installed.remove(name)

    done = installed.run("doctor")

    assert done.returncode == 1
    what, cure = problems(done)[:2]
    assert what.startswith(f"Problem 1: {name}, which gradcore needs, is not installed for")
    assert str(installed.python) in what
    assert f"-m pip install {name}" in cure


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise OSError('libtorch_cpu.so: cannot open shared object file')", "OSError: libtorch"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by signal 11"),
    ],
    ids=["raises", "crashes"],
)
def test_a_package_that_does_not_work_by_itself(installed, source, words):
    installed.replace("numpy", source)
    # What crashes would end the command too, before it could ask.
    (installed.packages / "gradcore" / "__init__.py").write_text("raise ImportError('numpy')")

    what, cure = problems(installed.run("doctor"))[:2]

    assert "numpy (in " in what
    assert "cannot be imported, whether or not gradcore is there" in what
    assert words in what
    assert "--force-reinstall numpy" in cure


def test_what_has_no_name_here_is_told_as_it_was_raised(installed):
    (installed.packages / "gradcore" / "errors.py").write_text("raise RuntimeError('torn')")

    what, _ = problems(installed.run("doctor"))

    assert what == "Problem 1: gradcore cannot be imported: RuntimeError: torn"


def test_other_commands_say_it_in_a_word_and_where_to_ask(installed):
    installed.remove("pluggy")

    done = installed.run("watch", "run.jsonl")

    assert done.returncode == 2
    assert done.stderr == (
        "gradcore cannot be imported: ModuleNotFoundError: No module named 'pluggy'\n"
        "`gradcore doctor` looks for why.\n"
    )

"""No file that is read can run code, fill the memory or talk to the terminal."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import gradcore
import peaks
import reports
from gradcore.cli import main
from gradcore.logfile import Encoder
from gradcore.printable import printable

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for folder in ("python", "plugins", "examples", "cpp/cmake")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "tests" not in path.parts and "build" not in path.parts
]

RUNS_CODE = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
NAMES = {"eval", "exec", "compile", "__import__"}


def broken_rules(tree: ast.AST) -> list[str]:
    """What of a module could run code that is in a file."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in RUNS_CODE]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in RUNS_CODE:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            called, words = ast.unparse(node.func), {k.arg: k.value for k in node.keywords}
            given = {name: ast.unparse(value) for name, value in words.items() if name}
            if called in NAMES:
                found.append(called)
            elif called == "torch.load" and given.get("weights_only") != "True":
                found.append("torch.load without weights_only=True")
            elif called in {"np.load", "numpy.load"} and given.get("allow_pickle") != "False":
                found.append("numpy.load without allow_pickle=False")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_read_is_run(path):
    assert broken_rules(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "eval(text)",
    ],
)
def test_the_rules_above_see_what_they_are_about(source):
    assert broken_rules(ast.parse(source))


ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m\u202eback\r\n"


def test_what_a_terminal_would_obey_is_shown_as_an_escape():
    assert printable("encoder.0.weight é 層") == "encoder.0.weight é 層"
    assert printable(ESCAPES) == "\\x1b[2J\\x1b]0;title\\x07\\x9b31m\\u202eback\\r\\n"
    assert printable("\ud800") == "\\ud800"


def hostile(step):
    finding = gradcore.Finding(ESCAPES, "critical", ESCAPES, ESCAPES, parameters=(ESCAPES,))
    table = reports.table([ESCAPES], [1.0], nan=[1])
    return reports.report(
        step=step, nonfinite=gradcore.Counts(nan=1), first_nonfinite=ESCAPES, last_clean=ESCAPES,
        parameters=table, findings=(finding,),
    )  # fmt: skip


@pytest.mark.parametrize("say", [str, gradcore.Report.summary])
def test_a_report_says_names_in_printable_characters(say):
    said = say(hostile(0))

    assert "\\x1b[2J" in said
    assert all(line.isprintable() for line in said.split("\n"))


def test_watch_obeys_nothing_that_is_in_a_log(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    encoder = Encoder()
    log = tmp_path / "run.jsonl"
    log.write_text(encoder.run() + "".join(encoder.step(hostile(i)) for i in range(3)))
    assert main(["watch", "--once", str(log)]) == 0

    said = capsys.readouterr().out
    assert "\\x1b[2J" in said
    assert all(line.isprintable() for line in said.split("\n"))


@pytest.mark.parametrize("command", ["watch", "report"])
def test_errors_obey_nothing_that_is_in_a_log(tmp_path, capsys, command):
    log = tmp_path / f"{ESCAPES[:4]}.jsonl"
    head = json.loads(Encoder().run())
    log.write_text(json.dumps({**head, "version": 2, "gradcore": ESCAPES}) + "\n")
    assert main([command, str(log)]) == 1

    said = capsys.readouterr().err
    assert "\\x1b" in said
    assert all(line.isprintable() for line in said.split("\n"))


STEP = json.loads(Encoder().step(reports.report(step=0)))
TABLE = {"type": "parameters", "names": ["a", "b"], "numel": 2**53}
COLUMNS = {"norm": 1.0, "nan": 2**53, "posinf": 0, "neginf": 0, "scale": 1.0}
MANY = 10**6

CLAIMS = {
    "elements beyond count": [TABLE, {**STEP, "parameters": COLUMNS}],
    "steps beyond count": [STEP, {**STEP, "step": 2**53}],
    "counts beyond count": [
        {**STEP, "repaired": 2**53, "nonfinite": {"nan": 2**53, "posinf": 2**53, "neginf": 2**53}}
    ],
    "keys that nobody knows": [{**STEP, "unknown": [0] * MANY}],
    "names without end": [{"type": "parameters", "names": ["n"] * MANY, "numel": 1}, STEP],
}
"""Lines after that of the run: few of them, that claim a lot."""

READ = """
import sys, gradcore
from gradcore.cli import main
start = peak()
path, page = sys.argv[1:]
gradcore.History.load(path)
main(["watch", "--once", path])
main(["report", path, "-o", page])
print(peak() - start)
"""


@pytest.mark.parametrize("lines", CLAIMS.values(), ids=CLAIMS.keys())
def test_a_log_takes_memory_for_what_is_in_it_not_for_what_it_claims(tmp_path, lines):
    """Reading, watching and drawing it: of 5 MB at most, 300 MB with all that is imported."""
    log = tmp_path / "run.jsonl"
    log.write_text("".join([Encoder().run(), *(json.dumps(line) + "\n" for line in lines)]))
    process = subprocess.run(
        [sys.executable, "-c", peaks.PEAK + READ, str(log), str(tmp_path / "run.html")],
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip

    assert log.stat().st_size < 5 << 20
    assert int(process.stdout.split()[-1]) < 300 << 20

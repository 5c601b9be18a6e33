"""Who may import whom, and how long a file may be."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "gradcore"
LONGEST = 250

# Each module, or folder of modules, and all of gradcore and of torch that it may import when it is
# run.  What is imported for type checkers alone is not looked at, but for `NEVER`.
MAY_IMPORT = {
    # what things are
    "errors": "",
    "validation": "",
    "plan": "torch",
    "statistics": "",
    "unscaling": "plan statistics torch",
    "units": "",
    "totals": "",
    "capturing": "errors torch",
    "window": "capturing validation torch",
    "protocols": "",
    "parameter_table": "statistics",
    "printable": "",
    "report": "parameter_table printable",
    "version": "",
    "extras": "",
    # what is kept of reports
    "tally": "",
    "scalars": "report",
    "ring": "",
    "logfile*": "errors logfile.* parameter_table report tally version",
    "history_state": "report scalars tally torch",
    "history": "history_state logfile plots report ring runs scalars tally validation",
    "runs*": "logfile logfile.table parameter_table runs.* tally",
    "sinks*": "extras logfile logfile.values printable report scalars sinks.*",
    # the native verbs, and what they are carried out on
    "floor": "loading",
    "loading": "_native torch",
    "needs": "statistics validation",
    "core": "capturing loading needs plan statistics totals units torch",
    "rates": "torch",
    "parameters": "core errors rates torch",
    "repair": "core parameters plan report torch",
    "joint_norm": "core distributed.sharding distributed.together validation torch",
    "functional": "core distributed.sharding distributed.together errors joint_norm parameters plan"
    " statistics torch",
    # decisions: they see statistics, never gradients
    "strategies*": "strategies.* plan validation window torch",
    "nonfinite*": "nonfinite.* plan validation torch",
    # prevention, for models and losses: stands by itself
    "numerics*": "numerics.* validation torch",
    # questions to reports, which are plain numbers
    "checks*": "checks.* parameter_table report validation",
    # who offers what
    "hooks": "",
    "builtin": "checks hooks nonfinite sinks strategies",
    "discovery": "errors hooks",
    "catalogue": "builtin discovery errors version",
    "registry": "catalogue discovery errors",
    # for authors of plugins: a guard and its parts, put to the test
    "testing*": "binding decision discovery errors guard history measuring nonfinite parameters"
    " report testing.* validation torch",
    # the arrow
    "options": "checks nonfinite.skip registry strategies.global_norm",
    "taking": "torch",
    "dividing": "taking torch",
    "books": "torch",
    "unscaled": "dividing taking unscaling",
    "scale_on_device": "torch unscaling",
    "amp": "books errors plan scale_on_device taking torch unscaled",
    "measuring": "core distributed.sharding needs plan statistics torch unscaling",
    "binding": "capturing errors torch",
    "after_policy": "plan statistics torch",
    "decision": "after_policy errors plan torch",
    "fetching": "errors plan statistics torch",
    "reporting": "parameter_table plan report statistics",
    "snapshot": "distributed.sharding errors torch",
    "rollback": "core parameters snapshot statistics validation torch",
    "streak": "errors validation",
    "checkpoint": "history",
    "watching": "",
    "attachment": "errors torch",
    # many ranks: what each holds, and what all of them know
    "distributed*": "core distributed.* errors parameters plan statistics torch units",
    "distributed.across": "distributed.group distributed.job distributed.sharding",
    "awaited": "capturing errors report",
    "sending": "capturing errors fetching plan torch",
    "queueing": "awaited capturing core errors fetching measuring plan reporting sending torch"
    " unscaling watching",
    "protection": "capturing core decision fetching plan queueing reporting sending torch"
    " unscaling",
    "beginning": "amp attachment",
    "guard": "attachment awaited beginning binding checkpoint config distributed.across history"
    " measuring options parameters protection registry rollback streak validation watching",
    "stepping": "attachment errors guard torch",
    "config": "discovery errors guard stepping",
    # frameworks that hold the loop
    "integrations*": "config errors extras integrations.* sinks.series torch",
    # what watches a model
    "monitors*": "core errors monitors.* printable statistics validation torch",
    # pictures
    "plots": "plots.*",
    "plots.*": "plots.* runs.placing",
    "page*": "extras page.* runs.placing",
    # the door
    "__init__": "config core errors functional guard history hooks loading monitors plan protocols"
    " registry repair report statistics stepping window",
    "__main__": "cli",
    "cli*": "__init__ cli.* discovery errors floor history logfile page plots printable registry"
    " runs.* tally torch validation",
}

# Whatever the table above says, for type checkers too.
NEVER = {
    "strategies*": "_native core guard loading parameters registry",
    "nonfinite*": "_native core guard loading parameters registry",
    "checks*": "_native core guard loading parameters registry torch",
    "sinks*": "_native core guard loading parameters registry torch",
}


def name_of(path: Path) -> str:
    """``strategies.value`` of ``strategies/value.py``, ``strategies`` of its ``__init__``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements(tree: ast.AST, *, all_of_them: bool) -> list[ast.AST]:
    """Every node, with or without those that only type checkers see."""
    found = [tree]
    for node in ast.iter_child_nodes(tree):
        if all_of_them or not for_type_checkers(node):
            found += statements(node, all_of_them=all_of_them)
    return found


def imported(path: Path, *, all_of_them: bool = False) -> set[str]:
    """Modules of gradcore by their names within it, and ``torch`` if any of it is imported."""
    names = set()
    for node in statements(ast.parse(path.read_text()), all_of_them=all_of_them):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            within = {f"{module}.{alias.name}" for alias in node.names}
            known = {f"gradcore.{name}" for name in (*MODULES, "_native")}
            # `from gradcore import core` means the module, `from gradcore import Guard` the door.
            names |= within & known or {module}
    ours = {name.removeprefix("gradcore.") for name in names if name.startswith("gradcore.")}
    ours |= {"__init__"} if "gradcore" in names else set()
    return ours | ({"torch"} if any(name.split(".")[0] == "torch" for name in names) else set())


def allows(patterns: str, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns.split())


def rule_of(module: str) -> str:
    """The key of the table that is about a module: the most exact one."""
    return max((key for key in MAY_IMPORT if fnmatchcase(module, key)), key=len, default="")


def test_the_table_lists_every_module_and_nothing_else():
    assert [module for module in MODULES if not rule_of(module)] == []
    assert set(MAY_IMPORT) - {rule_of(module) for module in MODULES} == set()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_what_the_table_lets_it(module):
    wanted = imported(MODULES[module])

    allowed = MAY_IMPORT.get(rule_of(module), "")
    assert {name for name in wanted if not allows(allowed, name)} == set()


@pytest.mark.parametrize("module", MODULES)
def test_some_things_are_never_imported_for_types_either(module):
    forbidden = " ".join(names for key, names in NEVER.items() if fnmatchcase(module, key))

    wanted = imported(MODULES[module], all_of_them=True)
    assert {name for name in wanted if allows(forbidden, name)} == set()


def test_one_module_alone_knows_the_native_core():
    knowing = [m for m, path in MODULES.items() if "_native" in imported(path, all_of_them=True)]

    assert knowing == ["loading"]


@pytest.mark.parametrize("module", MODULES)
def test_the_package_knows_neither_tests_nor_plugins(module):
    text = MODULES[module].read_text()

    others = r"^\s*(from|import) (tests|plugins|pytest|hypothesis)\b"
    assert not re.search(others, text, re.MULTILINE)


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("src/**/*.py")), ids=str)
def test_a_plugin_uses_public_names_alone(path):
    assert imported(path, all_of_them=True) <= {"__init__", "torch"}


def test_the_oracle_shares_nothing_with_the_code():
    assert imported(ROOT / "tests" / "oracle.py", all_of_them=True) == set()


def files() -> list[Path]:
    folders = ("python", "plugins", "cpp", "tests", "benchmarks", "examples")
    suffixes = {".py", ".pyi", ".cpp", ".hpp", ".cu", ".cuh", ".cmake"}
    found = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    return sorted(p for p in found if p.suffix in suffixes and "build" not in p.parts)


def test_no_file_is_longer_than_two():
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files()}

    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}

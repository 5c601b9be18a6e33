"""Torch and gradcore side by side, on what torch gets wrong: four processes, gloo, no GPU.

    python examples/torch_compared                                  # prints the tables
    python examples/torch_compared Huge EmptyShards                 # these cases
    python examples/torch_compared --write docs/torch_compared.md   # puts the tables there

Each case is the same work done three times: by torch, by gradcore and in float64 on whole tensors.
Cases of several ranks run in real processes; one that does not come back is stopped.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from pathlib import Path

import torch
from cases import CASES, TABLES
from running import SECONDS, Told, run


def head() -> str:
    """The two lines that a table begins with."""
    version = torch.__version__.partition("+")[0]
    return f"| what is done | torch {version} | gradcore | should be |\n|---|---|---|---|\n"


def told(names: list[str], seconds: float) -> dict[str, Told]:
    """Run cases, and say each as it comes."""
    results = {}
    for name in names:
        results[name] = run(CASES[name], seconds)
        print(results[name].row, flush=True)
    return results


def written(page: str, results: dict[str, Told]) -> str:
    """The page with these tables in place of those that it has.

    Raises:
        ValueError: The page has no place for one.
    """
    for table, cases in TABLES.items():
        rows = "\n".join(results[case.__name__].row for case in cases)
        place = re.compile(rf"(<!-- {table} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, found = place.subn(lambda m, t=rows: f"{m[1]}{head()}{t}\n{m[2]}", page)
        if found != 1:
            raise ValueError(f"There is no place for the table {table!r}: put <!-- {table} -->.")
    return page


def main() -> int:
    """Print or write; 1 if gradcore is wrong somewhere."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--write", type=Path, metavar="PAGE", help="needs all cases")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="until a rank is stopped")
    options = parser.parse_args()
    unknown = {*options.cases} - {*CASES}
    if unknown or (options.write and options.cases):
        parser.error(f"unknown cases: {unknown}" if unknown else "--write needs all cases")
    logging.getLogger("gradcore").setLevel(logging.ERROR)  # the tables say it
    print(head(), end="")
    results = told(options.cases or list(CASES), options.seconds)
    if options.write:
        options.write.write_text(
            written(options.write.read_text(encoding="utf-8"), results), encoding="utf-8"
        )
    wrong = [name for name, result in results.items() if result.wrong]
    if wrong:
        print(f"gradcore is wrong in {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""The list of faults keeps up with the source: `mutate.py` plants them, which takes long."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "mutation"))  # its files are a program, not a package

from guard_faults import GUARD  # noqa: E402 - see above
from native_faults import NATIVE  # noqa: E402
from reporting_faults import REPORTING  # noqa: E402

FAULTS = (*GUARD, *REPORTING, *NATIVE)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.what for fault in FAULTS])
def test_a_fault_can_be_planted_where_it_says(fault):
    """Where this fails, code has changed: change ``before`` and ``after`` in the list of faults."""
    assert (ROOT / fault.path).read_text("utf-8").count(fault.before) == 1
    assert fault.after != fault.before
    assert all((ROOT / test).exists() for test in fault.tests)


def test_every_fault_has_its_own_description():
    assert len({fault.what for fault in FAULTS}) == len(FAULTS)

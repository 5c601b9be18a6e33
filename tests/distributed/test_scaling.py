"""The page about many ranks shows what its script works out, and that is what ranks send."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import processes
from distributed.programs import TRAINING

pytestmark = pytest.mark.distributed

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scaling():
    spec = importlib.util.spec_from_file_location("scaling", ROOT / "benchmarks" / "scaling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_what_the_code_packs(scaling):
    """If not: python benchmarks/scaling.py --write docs/scaling.md."""
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")

    assert scaling.written(page) == page
    assert all(table in page for table in scaling.tables().values())


SENT = """
net = nn.ParameterList(nn.Parameter(torch.ones(2)) for _ in range(291))
for parameter in net:
    parameter.grad = torch.ones(2)
group = dist.group.WORLD
gradcore.Guard(net, max_norm=1.0, process_group=group).apply()
gradcore.Guard(net, max_norm=1.0, needs="max_abs", process_group=group).apply()
result = [count * 8 for count in reduced]
"""


def test_two_ranks_send_as_much_as_it_says(scaling, tmp_path):
    sent, _ = processes.both(TRAINING + SENT, tmp_path)

    head = scaling.head_bytes(2)
    assert sent == [head + scaling.body_bytes(2), head + scaling.body_bytes(2, ["max_abs"])]
    assert sent[0] == 8 * (6 * 2 + 5 + 12 * 292)  # as the page says in words
    assert sent[1] - sent[0] == 8 * 2 * 292

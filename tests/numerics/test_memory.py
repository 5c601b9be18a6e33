"""The joint tensor is never held: measured by the process's own peak, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from peaks import PEAK

MEGABYTE = 2**20

SCRIPT = """
import torch
from gradcore.numerics import nway_contrastive_loss
torch.set_num_threads(1)

def run(n, count, method, chunk):
    features = [torch.randn(count, 64, requires_grad=True) for _ in range(n)]
    scale = torch.tensor(14.0, requires_grad=True)
    loss = nway_contrastive_loss(*features, method=method, logit_scale=scale, chunk=chunk)
    loss.backward()
    assert all(x.grad.isfinite().all() and x.grad.any() for x in (*features, scale))
    return loss.item()

n, count, method, chunk = {arguments}
run(n, 2, method, chunk)  # what libraries set up once
before = peak()
loss = run(n, count, method, chunk)
print(peak() - before, loss)
"""


def peak_of(*arguments):
    """Memory that a forward and a backward pass added to the process, and the loss."""
    script = PEAK + SCRIPT.replace("{arguments}", repr(arguments))
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=110
    )
    memory, loss = done.stdout.split()
    return int(memory), float(loss)


@pytest.mark.parametrize("method", ["norm", "cosine", "distance"])
def test_forms_of_pairs_need_a_tenth_of_a_billion_logits(method):
    """Six sets of 32: 4 GiB for the joint tensor alone, in float32."""
    memory, loss = peak_of(6, 32, method, None)

    assert memory < 400 * MEGABYTE
    assert 15.0 < loss < 20.0  # 5 log 32 = 17.3 where all similarities are equal


def test_the_streamed_product_needs_a_tenth_of_its_logits():
    """Six sets of 20: 244 MiB for the joint tensor, several times that with its gradient."""
    memory, loss = peak_of(6, 20, "product", 1)

    assert memory < 0.4 * 20**6 * 4
    assert 13.0 < loss < 17.0  # 5 log 20 = 15.0


def test_slices_of_any_other_form_are_given_back():
    """Five sets of 24, 31 MiB: a slice has 1.3 MiB, and a few of them are held."""
    memory, _ = peak_of(5, 24, "geometric_cosine", 1)

    assert memory < 24**5 * 4

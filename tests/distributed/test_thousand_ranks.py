"""A reduction over a thousand ranks: what each of them packs, summed up in many orders.

The bounds are those of N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition,
section 4.2: a sum of n numbers, none negative, in any order errs by at most (n - 1) u of itself to
first order, u = 2^-53.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

import gradcore
import oracle
from gradcore.decision import decide
from gradcore.distributed.head import Said
from gradcore.distributed.ownership import resolve
from gradcore.distributed.vector import Vector, bad_elements
from gradcore.nonfinite import Skip
from gradcore.statistics import ALWAYS, ROWS, Statistics
from gradcore.strategies import GlobalNorm

pytestmark = pytest.mark.distributed

RANKS = 1000
NAMES = ("sharded", "replicated", "hybrid", "late")
NEEDS = ("l1", "max_abs")
MEASURED = ALWAYS | {*NEEDS}
UNIT = 2.0**-53
BAD = {417: math.nan, 731: -math.inf}
DIGEST = 3_141_592_653


def pieces_of(rank):
    """Names and pieces of what a rank holds, in an order of its own."""
    held = [("sharded", (("dp", rank),)), ("replicated", ()), ("hybrid", (("dp", rank % 500),))]
    held += [("late", (("dp", rank),))] if rank >= 900 else []  # a stage of its own
    return held if rank % 2 else held[:1] + held[:0:-1]


def elements_of(name, piece, generator):
    """Uneven shards, some of them empty, of sizes from 1e-30 to 1e30."""
    size = 1 if name == "replicated" else int(generator.integers(0, 4))
    return torch.tensor(generator.normal(size=size) * 10.0 ** generator.uniform(-30, 30, size))


def all_elements():
    """Of every piece that a rank holds, the same whenever it is asked."""
    generator = np.random.default_rng(0)
    held = {key: None for rank in range(RANKS) for key in pieces_of(rank)}
    return {key: elements_of(*key, generator) for key in held}


class Job:
    """Everything that a thousand ranks hand to the all-reduce, and what there is to come of it."""

    def __init__(self, owners_of, bad):
        self.held = all_elements()
        self.vectors, self.faults = [], 0
        for rank, own in enumerate(owners_of):
            gradients = [self.held[key].clone() for key in pieces_of(rank)]
            if rank in bad:
                gradients[0] = torch.cat((gradients[0], torch.tensor([bad[rank]]).double()))
            owners = [torch.zeros_like(g, requires_grad=True) for g in gradients]
            for owner, gradient in zip(owners, gradients, strict=True):
                owner.grad = gradient
            self.measured = gradcore.measure(owners, NEEDS)
            self.vector = Vector(NEEDS, own, rank, RANKS, 2.0)
            loss = torch.tensor(float(rank), dtype=torch.float64)
            said = Said(digest=DIGEST, bad=bad_elements(self.measured, {}), loss=loss)
            self.vectors.append(self.vector.pack(said, self.measured).numpy())
        self.names = own.names

    def unpacked(self, total):
        sums = torch.from_numpy(total)
        return self.vector.head(sums), self.vector.unpack(sums, self.measured).gradients

    def row(self, name, value):
        """Exactly, of a statistic of every parameter."""
        elements = {key[0]: [] for key in self.held}
        for (parameter, _), tensor in self.held.items():
            elements[parameter] += [Fraction(x) for x in tensor.tolist()]
        return [value(elements[parameter]) for parameter in self.names]


def one_by_one(vectors, generator):
    total = np.zeros_like(vectors[0])
    for rank in generator.permutation(len(vectors)):
        total = total + vectors[rank]
    return total


def random_tree(vectors, generator):
    waiting = list(vectors)
    while len(waiting) > 1:
        first, second = (waiting.pop(int(generator.integers(len(waiting)))) for _ in range(2))
        waiting.append(first + second)
    return waiting[0]


def halving(vectors, generator):
    """Neighbours first, as of recursive doubling."""
    level = [vectors[rank] for rank in generator.permutation(len(vectors))]
    while len(level) > 1:
        pairs = [a + b for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def ring(vectors, generator):
    """Each chunk starts at another rank and goes round."""
    start = int(generator.integers(len(vectors)))
    chunks = np.array_split(np.arange(len(vectors[0])), len(vectors))
    total = np.empty_like(vectors[0])
    stacked = np.stack(vectors)
    for number, chunk in enumerate(chunks):
        order = np.roll(stacked[:, chunk], -(start + number), axis=0)
        total[chunk] = np.add.accumulate(order, axis=0)[-1]
    return total


ORDERS = (one_by_one, random_tree, halving, ring)


def sums(job):
    """Of all ranks in twelve orders."""
    return [
        order(job.vectors, np.random.default_rng(seed)) for order in ORDERS for seed in range(3)
    ]


@pytest.fixture(scope="module")
def owners_of():
    """What every rank finds out in the first step."""
    sizes = dict.fromkeys(NAMES, 0)
    for (name, _), elements in all_elements().items():
        sizes[name] += len(elements)
    everyone = [
        [(name, piece, (sizes[name],), "torch.float64") for name, piece in pieces_of(rank)]
        for rank in range(RANKS)
    ]
    return [resolve(everyone, rank) for rank in range(RANKS)]


@pytest.fixture(scope="module")
def healthy(owners_of):
    return Job(owners_of, {})


@pytest.fixture(scope="module")
def struck(owners_of):
    return Job(owners_of, BAD)


def test_everything_that_is_counted_is_exact_in_every_order(struck):
    """Counts, slots, the loss and the largest magnitude: the same bits, and the right ones."""
    for total in sums(struck):
        head, joined = struck.unpacked(total)

        assert head.digests == [DIGEST] * RANKS
        assert not any(head.failed)
        assert head.bad == sorted(BAD)
        assert head.loss == (RANKS - 1) / 2
        counts = {name: joined.table[ROWS.index(name), :-1].tolist() for name in ALWAYS}
        place = struck.names.index("sharded")
        assert counts["nan"] == [float(i == place) for i in range(len(NAMES))]
        assert counts["neginf"] == counts["nan"]
        assert counts["posinf"] == [0.0] * len(NAMES)
        faulty = [float(len(BAD) * (i == place)) for i in range(len(NAMES))]
        numel = [held + bad for held, bad in zip(struck.row("numel", len), faulty, strict=True)]
        assert counts["numel"] == numel
        assert counts["present"] == [1.0] * len(NAMES)
        largest = struck.row("max_abs", lambda elements: float(max(map(abs, elements))))
        assert joined.table[ROWS.index("max_abs"), :-1].tolist() == largest
        assert not joined.differing.any()
        assert not joined.partly.any()


def test_sums_are_within_the_bound_of_the_exact_ones_in_every_order(healthy):
    bound = (RANKS - 1) * UNIT
    columns = np.stack(healthy.vectors).T
    exact = [sum(map(Fraction, column[column != 0.0].tolist())) for column in columns]
    for total in sums(healthy):
        for got, wanted in zip(total.tolist(), exact, strict=True):
            assert abs(Fraction(got) - wanted) <= Fraction(bound) * wanted


def test_norms_are_those_of_all_elements_taken_as_one_vector(healthy):
    """Half the error of the sum, and two units for each rank's own norm and for the last root."""
    bound = (RANKS - 1) / 2 * UNIT + 4 * UNIT
    squares = healthy.row("l2", lambda elements: sum(x * x for x in elements))
    exact = [oracle.root(value) for value in [*squares, sum(squares)]]
    for total in sums(healthy):
        norms = healthy.unpacked(total)[1].table[ROWS.index("l2")].tolist()
        for got, wanted in zip(norms, exact, strict=True):
            assert abs(Fraction(got) - wanted) <= Fraction(bound) * wanted


@pytest.mark.parametrize("name", ["healthy", "struck"])
def test_the_decision_is_the_same_in_every_order(name, request):
    """Whether the step is taken, to the bit; what gradients are scaled by, to the bound above."""
    job = request.getfixturevalue(name)
    decisions = []
    for total in sums(job):
        table = job.unpacked(total)[1].table
        trusted = table[2:5, -1].sum() == 0
        statistics = Statistics(table, trusted, MEASURED)
        decisions.append(decide(statistics, Skip(), GlobalNorm(max_norm=1.0)))

    assert {bool(decision.skip) for decision in decisions} == {name == "struck"}
    factors = [float(decision.factors) for decision in decisions]
    assert max(factors) - min(factors) <= RANKS * UNIT * max(factors)
    assert 0.0 < max(factors) < 1.0

"""Stored numbers outside tensors: weights written as Python numbers, one operator for each.

A formula has a few constants (0.5, 1e-5, 1 / sqrt(64)), and they are free: up to 16 different ones in a network. Weights
look otherwise: many different numbers, or one line of code that is executed with one number after another. A sequence
that repeats itself (a cell in a loop, a filter that slides) counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise

from kwsbench.budget.audit.trace import Call, Run

FREE = 16
"""Different numbers that a network may have in its formulas, and the longest sequence that is no list of weights."""

MOST = 64
"""Numbers that all sequences together may have before they are a list of weights that was cut up."""


def python_numbers(runs: Iterable[Run], single_tensors: Sequence[Hashable] = ()) -> int:
    """Returns how many single numbers of a network are stored weights; 0 where they are constants of formulas.

    Args:
        runs: What was run.
        single_tensors: What tensors of one number hold that are neither parameters nor buffers; they are numbers, too.
    """
    runs = list(runs)
    factors = {factor for run in runs for call in run.calls for factor in call.factors if factor not in {0.0, 1.0}}
    different = [*factors, *single_tensors]
    listed = max((_in_lists(run.calls) for run in runs), default=0)
    return max(listed, len(different) if len(different) > FREE else 0)


def _in_lists(calls: Iterable[Call]) -> int:
    factors: dict[Hashable, list[float]] = defaultdict(list)
    sizes: dict[Hashable, list[int]] = defaultdict(list)
    for call in calls:
        factors[call.operator, call.place].extend(call.factors)
        for position, size in enumerate(call.sizes):
            sizes[call.operator, call.place, len(call.sizes), position].append(size)
    lengths = [shortest_period(sequence) for sequence in factors.values()]
    total = sum(lengths)
    listed = total if total > MOST else sum(length for length in lengths if length > FREE)
    return listed + max(map(_irregular, sizes.values()), default=0)


def _irregular(sizes: Sequence[int]) -> int:
    """Returns how many whole numbers a sequence lists; 0 where it counts in steps that repeat themselves."""
    steps = [after - before for before, after in pairwise(sizes)]
    return len(sizes) if shortest_period(steps) > FREE else 0


def shortest_period(sequence: Sequence[Hashable]) -> int:
    """Returns the length of the shortest beginning that, repeated, gives the sequence; the last time may be cut short.

    >>> shortest_period([3, 1, 2, 3, 1, 2, 3])
    3
    """
    borders = [0] * len(sequence)
    for end in range(1, len(sequence)):
        length = borders[end - 1]
        while length and sequence[length] != sequence[end]:
            length = borders[length - 1]
        borders[end] = length + (sequence[length] == sequence[end])
    return len(sequence) - borders[-1] if borders else 0

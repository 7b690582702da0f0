"""Compares runs of one network on several inputs: what differs between them was not counted, or is a decision.

Two inputs of one shape must execute the same operators on the same parts of the same storages, with the same numbers and
the same stored values. Then everything that the network does with its input is in the trace. A number, an index or a
tensor that differs was computed where nobody counts: in Python, in NumPy, in an extension.

A network may decide: operators differ then. What it decided on must have come through PyTorch (`.item()`, a shape), and
be little. That is proved by running it again and telling it, whatever its input is, what it was told of another one: it
must then do what it did there.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from kwsbench.budget.audit.trace import Run

MOST_DECISIONS = 4
"""Values of an input that a network may decide on; what Python computes from more of them would be worth counting."""


class Difference(Enum):
    """How two runs differ, at the first place where they do."""

    NONE = "not at all"
    NUMBERS = "in a number"
    STORED = "in a tensor"
    OPERATORS = "in an operator, or in which of its tensors it was given"


def difference(one: Run, other: Run) -> Difference:
    """Returns how two runs on inputs of one shape differ."""
    position, kind = _first_difference_of_calls(one, other)
    for (at, root, held), (at_other, root_other, held_other) in zip(one.stored, other.stored, strict=False):
        if max(at, at_other) > position:
            break
        if held != held_other:
            chosen = root is not root_other and root.is_kept and root_other.is_kept
            return Difference.OPERATORS if chosen else Difference.STORED
    read, read_other = (sum(at <= position for at, _, _ in run.stored) for run in (one, other))
    return kind if read == read_other else Difference.STORED


def _first_difference_of_calls(one: Run, other: Run) -> tuple[int, Difference]:
    for position, (left, right) in enumerate(zip(one.calls, other.calls, strict=False)):
        if left.key != right.key:
            return position - 1, Difference.OPERATORS
        if left.numbers != right.numbers:
            return position, Difference.NUMBERS
    same_length = len(one.calls) == len(other.calls)
    shorter = min(len(one.calls), len(other.calls))
    return (shorter, Difference.NONE) if same_length else (shorter - 1, Difference.OPERATORS)


def hidden_influence(one: Run, other: Run, retold: Callable[[], Run]) -> str:
    """Returns what makes the counts of two inputs unreliable, in words; empty where everything was counted.

    Args:
        one: The run on one input.
        other: The run on another input of the same shape.
        retold: Runs on the other input again and tells the network what it was told in the first run.
    """
    kind = difference(one, other)
    if kind is Difference.NUMBERS:
        return "numbers that depend on the input leave PyTorch and come back as Python numbers"
    if kind is Difference.STORED:
        return "tensors that were made outside PyTorch (NumPy, Python lists, an extension) depend on the input"
    if kind is Difference.NONE:
        return ""
    if max(len(one.decisions), len(other.decisions)) > MOST_DECISIONS:
        return (
            f"which operators run depends on more than {MOST_DECISIONS} values of the input that are read into Python"
        )
    if difference(one, retold()) is not Difference.NONE:
        return "which operators run depends on values of the input that are read outside PyTorch"
    return ""

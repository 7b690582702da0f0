"""MACs of an einsum, from its equation and the shapes of its operands; no tensor library is involved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

from kwsbench.budget import costs

Sizes = dict[str, int]
"""The size of every label of one operand; labels of size 1 are left out, for they broadcast and never multiply."""


def einsum_macs(equation: str, shapes: Sequence[tuple[int, ...]], path: Sequence[int] | None = None) -> int:
    """Counts an einsum that contracts two operands at a time, as PyTorch and NumPy do.

    A pair costs the product of the sizes of its labels; a label that only one of all the operands has is summed first.

    Args:
        equation: Labels of every operand (`bi,ij->bj`); `...` stands for the dimensions that have no label, and without
            `->` the result has the labels that occur once, in alphabetical order.
        shapes: The shape of every operand.
        path: Positions of the operands to contract, two by two; what they give goes to the end of the list. None: from
            left to right.

    Returns:
        Multiplications of one value by another.

    Raises:
        ValueError: The equation does not fit the shapes.

    >>> einsum_macs("bi,ij->bj", [(2, 3), (3, 4)])
    24
    >>> einsum_macs("bi,ij,j->b", [(2, 3), (3, 4), (4,)])  # 2 x 3 x 4, then 2 x 4
    32
    """
    terms, result = _labels(equation, shapes)
    operands = [_sizes(term, shape) for term, shape in zip(terms, shapes, strict=True)]
    pairs = _from_left_to_right(len(operands)) if path is None else zip(path[::2], path[1::2], strict=True)
    macs = 0
    for first, second in pairs:
        right, left = (operands.pop(position) for position in sorted((first, second), reverse=True))
        kept = set(result).union(*operands)
        multiplied = _needed(left, kept.union(right)) | _needed(right, kept.union(left))
        macs += costs.per_element(prod(multiplied.values()))
        operands.append(_needed(multiplied, kept))
    return macs


def _from_left_to_right(operands: int) -> list[tuple[int, int]]:
    return [(0, 1), *((0, last) for last in range(operands - 2, 0, -1))] if operands > 1 else []


def _labels(equation: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[list[str]], list[str]]:
    """Returns the labels of every operand and of the result, with `...` spelled out from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = [_spelled_out(term, len(shape)) for term, shape in zip(left.split(","), shapes, strict=True)]
    if arrow:
        return terms, _spelled_out(right, len(right) + max(len(shape) for shape in shapes))
    occurrences = Counter(label for term in terms for label in term)
    return terms, [label for label, count in occurrences.items() if count == 1 or label.startswith(".")]


def _spelled_out(term: str, rank: int) -> list[str]:
    before, dots, after = term.partition("...")
    unlabelled = rank - len(before) - len(after) if dots else 0
    return [*before, *(f".{number}" for number in range(unlabelled, 0, -1)), *after]


def _sizes(term: list[str], shape: tuple[int, ...]) -> Sizes:
    return {label: size for label, size in zip(term, shape, strict=True) if size != 1}


def _needed(sizes: Sizes, labels: set[str]) -> Sizes:
    return {label: size for label, size in sizes.items() if label in labels}

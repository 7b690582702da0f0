"""Einsum equations: the sizes of their letters, and what they multiply."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kwsbench.budget.onnx.graph import Shape, Step
from kwsbench.budget.onnx.operands import mismatch

_DOTS = "..."


@dataclass(frozen=True)
class Equation:
    """An equation with the shapes of its operands.

    Attributes:
        terms: The labels of every operand; the axes of an ellipsis are `.1`, `.2`, ... from the right.
        output: The labels of the result.
        sizes: The size of every label.
    """

    terms: tuple[tuple[str, ...], ...]
    output: tuple[str, ...]
    sizes: Mapping[str, int]

    @property
    def shape(self) -> Shape:
        """The shape of the result."""
        return tuple(self.sizes[label] for label in self.output)

    @property
    def macs(self) -> int:
        """What it multiplies when operands are contracted from left to right, each label summed as soon as it can be."""
        left, total = self.terms[0], 0
        for position, right in enumerate(self.terms[1:], 1):
            later = {label for term in self.terms[position + 1 :] for label in term} | set(self.output)
            both = set(left) & set(right)
            multiplied = {label for label in (*left, *right) if label in both or label in later}
            total += self._product(multiplied)
            left = tuple(label for label in multiplied if label in later)
        return total

    def _product(self, labels: Iterable[str]) -> int:
        return math.prod(self.sizes[label] for label in labels)


def equation_of(step: Step, shapes: Sequence[Shape]) -> Equation:
    """Reads the equation of an Einsum. Raises InputError where it does not fit the shapes.

    Args:
        step: The step.
        shapes: The shapes of its operands.
    """
    text = step.attributes.get("equation", "").replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(shapes):
        raise mismatch(step, *shapes)
    terms = [_labels(part, len(shape)) for part, shape in zip(parts, shapes, strict=True)]
    sizes = _sizes(step, terms, shapes)
    dots = max((len(term) - len(part.replace(_DOTS, "")) for term, part in zip(terms, parts, strict=True)), default=0)
    output = _labels(right, len(right.replace(_DOTS, "")) + dots) if arrow else _implicit(terms)
    if not set(output) <= set(sizes) or len(set(output)) < len(output):
        raise mismatch(step, *shapes)
    return Equation(tuple(terms), output, sizes)


def _labels(term: str, rank: int) -> tuple[str, ...]:
    before, dots, after = term.partition(_DOTS)
    hidden = rank - len(before) - len(after) if dots else 0
    return (*before, *(f".{place}" for place in range(hidden, 0, -1)), *after)


def _implicit(terms: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    every = [label for term in terms for label in term]
    dots = sorted({label for label in every if label[0] == "."}, reverse=True)
    return (*dots, *sorted(label for label in set(every) if label[0] != "." and every.count(label) == 1))


def _sizes(step: Step, terms: Sequence[tuple[str, ...]], shapes: Sequence[Shape]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        if len(term) != len(shape):
            raise mismatch(step, *shapes)
        for label, size in zip(term, shape, strict=True):
            if 1 not in {size, sizes.get(label, 1)} and size != sizes[label]:
                raise mismatch(step, *shapes)
            sizes[label] = max(size, sizes.get(label, 1))
    return sizes

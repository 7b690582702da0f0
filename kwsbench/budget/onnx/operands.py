"""What a shape rule asks of a step's inputs and attributes, and says where they do not answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kwsbench.budget.onnx.graph import Shape, Step, Value
from kwsbench.errors import InputError

Operands = Sequence[Value | None]


class UnknownShapeError(Exception):
    """The shape of a result cannot be told before the model runs; the message says why."""


def operand(step: Step, operands: Operands, position: int) -> Value:
    """Returns an input that a step must have. Raises InputError without it."""
    found = operands[position] if position < len(operands) else None
    if found is None:
        raise InputError(f"node {step.name!r} ({step.op}) lacks its input {position}")
    return found


def has(operands: Operands, position: int) -> bool:
    """Returns whether an input is given that may be left out."""
    return position < len(operands) and operands[position] is not None


def integers(step: Step, operands: Operands, position: int) -> list[int]:
    """Returns the contents of an input that decides a shape.

    Raises:
        UnknownShapeError: They depend on the model's input, or are too many to be followed.
    """
    numbers = operand(step, operands, position).numbers
    if numbers is None:
        raise UnknownShapeError("its size depends on what the model hears, or on numbers that were not followed")
    if numbers.dtype.kind not in "iub":
        raise InputError(f"node {step.name!r} ({step.op}) needs whole numbers as its input {position}")
    return [int(number) for number in numbers.reshape(-1)]


def setting(step: Step, operands: Operands, key: str, position: int) -> list[int] | None:
    """Returns what newer operator sets give as an input and older ones as an attribute; None where it is left out."""
    if has(operands, position):
        return integers(step, operands, position)
    found: Any = step.attributes.get(key)
    return None if found is None else list(found)


def axis_of(step: Step, shape: Shape, axis: int) -> int:
    """Returns an axis counted from the front. Raises InputError where the shape has no such axis."""
    if not -len(shape) <= axis < max(len(shape), 1):
        raise InputError(f"node {step.name!r} ({step.op}) works on axis {axis} of the shape {shape}, which has none")
    return axis % max(len(shape), 1)


def mismatch(step: Step, *shapes: Shape) -> InputError:
    """Returns the error for inputs whose shapes do not go together."""
    return InputError(
        f"node {step.name!r} ({step.op}) gets the shapes {' and '.join(map(str, shapes))}, which do not fit"
    )


@contextmanager
def contradictions_told(step: Step) -> Iterator[None]:
    """Turns what arithmetic says of inputs and attributes that contradict each other into an InputError."""
    try:
        yield
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"node {step.name!r} ({step.op}) contradicts itself: its inputs and attributes do not fit"
        ) from error


def broadcast(step: Step, shapes: Sequence[Shape]) -> Shape:
    """Returns the shape that several shapes are broadcast to (NumPy's rule). Raises InputError where they are not."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    sizes = [{size for size in column if size != 1} for column in zip(*padded, strict=True)]
    if any(len(distinct) > 1 for distinct in sizes):
        raise mismatch(step, *shapes)
    return tuple(distinct.pop() if distinct else 1 for distinct in sizes)

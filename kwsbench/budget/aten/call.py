"""One executed operator: its arguments and results, of which only shapes and types are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from kwsbench.budget import costs


@dataclass(frozen=True)
class Call:
    """What an operator was called with, and what it returned.

    Attributes:
        args: Positional arguments, in the order of the operator's schema.
        kwargs: Arguments by name.
        outputs: What it returned: a tensor, or a tuple or list that has one.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: Any

    def arg(self, position: int, name: str, default: Any = None) -> Any:
        """Returns an argument that may come by position or by name, or its default."""
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    @property
    def tensor(self) -> Any:
        """The first argument."""
        return self.args[0]

    @property
    def output(self) -> Any:
        """The tensor that it returned, the first where there are several."""
        return self.outputs[0] if isinstance(self.outputs, tuple | list) else self.outputs

    @property
    def input_elements(self) -> int:
        """Values in the first argument."""
        return elements(self.tensor)

    @property
    def output_elements(self) -> int:
        """Values in the first result."""
        return elements(self.output)


Formula = Callable[[Call], int | None]


def elements(tensor: Any) -> int:
    """Returns how many values a tensor has; a view counts what it shows, not what is stored."""
    return prod(tensor.shape)


def is_tensor(value: Any) -> bool:
    """Returns whether `value` has a shape and a type, as a tensor has."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def is_complex(value: Any) -> bool:
    """Returns whether `value` is a complex number or holds complex numbers."""
    return bool(value.dtype.is_complex) if is_tensor(value) else isinstance(value, complex)


def multiplications(*operands: Any) -> int:
    """Returns the real multiplications in one product of these operands; one operand counts as multiplied by itself.

    Everything else than tensors and numbers among the operands is real.
    """
    num_complex = sum(map(is_complex, operands))
    if num_complex == 0:
        return costs.REAL
    return costs.COMPLEX if num_complex == len(operands) else costs.COMPLEX_BY_REAL

"""What an operator was given: the tensors among its arguments with their histories, and what follows from them.

This module needs PyTorch; only what already uses PyTorch imports it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from kwsbench.budget.aten_costs import draws_random
from kwsbench.budget.audit.lineage import Record, Root
from kwsbench.budget.audit.operators import Operator, tensors_in
from kwsbench.budget.audit.recording import Recording

STATISTICS = ("running_mean", "running_var")
"""Arguments of batch norms that hold running statistics."""

BATCH_NORMS = (
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "_batch_norm_with_update",
    "batch_norm_with_update",
    "_batch_norm_no_update",
    "cudnn_batch_norm",
    "miopen_batch_norm",
)
_MATRIX_PRODUCTS = ("addmm", "mm", "bmm", "baddbmm", "addbmm", "linear", "matmul", "mv", "addmv")


@dataclass(frozen=True)
class Operand:
    """One dense tensor that an operator was given.

    Attributes:
        argument: Name of the argument that it is, or is part of.
        tensor: The tensor.
        record: The history of its storage.
    """

    argument: str
    tensor: Any
    record: Record

    @property
    def numbers(self) -> int:
        """How many numbers it has; those that are repeated by its strides count once."""
        numbers: int = min(self.tensor.numel(), self.record.num_bytes // self.tensor.element_size())
        return numbers


@dataclass(frozen=True)
class Inputs:
    """All that one operator was given.

    Attributes:
        operator: The operator.
        arguments: Values of its arguments by their names.
        all: The tensors.
        read: Those whose values it reads.
        depends: Whether its result depends on the input of the network.
        draws: Whether it draws random numbers.
    """

    operator: Operator
    arguments: dict[str, Any]
    all: list[Operand]
    read: list[Operand]
    depends: bool
    draws: bool

    @property
    def prepared(self) -> list[Operand]:
        """Those that are read and do not depend on the input."""
        return [one for one in self.read if not one.record.depends]

    @property
    def heard(self) -> list[Operand]:
        """Those that are read and depend on the input."""
        return [one for one in self.read if one.record.depends]

    @property
    def trains(self) -> bool:
        """Whether it is a norm that takes the statistics of what it is given."""
        return bool(self.arguments.get("training") or self.arguments.get("train"))

    @property
    def makes_new_shapes(self) -> bool:
        """Whether the shape of its result depends on values."""
        if self.operator.short_name != "index":
            return self.operator.makes_new_shapes
        return any(one.tensor.dtype in {torch.bool, torch.uint8} for one in self.read if one.argument == "indices")

    @property
    def scrambles(self) -> bool:
        """Whether it takes numbers apart, as unpacking of small integers does."""
        if self.operator.short_name == "div":
            return self.arguments.get("rounding_mode") is not None
        return self.operator.scrambles

    def separates(self, outputs: Any) -> bool:
        """Whether it can tell apart numbers that are stored in one, as rounding does."""
        if self.operator.short_name == "_to_copy":
            return not outputs.dtype.is_floating_point and self.all[0].tensor.dtype.is_floating_point
        return self.operator.separates

    def writes(self, argument: str) -> bool:
        """Whether it changes an argument."""
        if argument in self.operator.written:
            return True
        return argument in STATISTICS and self.operator.short_name in BATCH_NORMS and self.trains


def inputs_of(recording: Recording, operator: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Inputs:
    """Looks up the history of everything that an operator was given."""
    bound = list(operator.bind(args, kwargs))
    operands = [
        Operand(name, part, recording.record_of(part))
        for name, _, value in bound
        for tensor in tensors_in(value)
        for part in recording.parts_of(tensor)
    ]
    for one in operands if not operator.is_view else ():
        one.record.last_used = len(recording.run.calls)
    blind = operator.overwritten
    read = [] if operator.reads_shapes_only else [one for one in operands if one.argument not in blind]
    arguments = {name: value for name, _, value in bound}
    hears = (
        any(one.record.depends for one in read)
        or any(map(recording.was_told, arguments.values()))
        or _starts(operator, read)
    )
    return Inputs(operator, arguments, operands, read, hears, draws_random(operator.name, args, kwargs))


def with_tensors(operator: Operator, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns arguments as the operator takes them: a number that a script keeps as a tensor arrives as a number."""
    if torch._C._should_allow_numbers_as_tensors(operator.short_name):  # noqa: SLF001 - there is no public list
        return args
    return tuple(
        torch.scalar_tensor(value, dtype=torch.float64 if isinstance(value, float) else torch.int64)
        if kind == "Tensor" and isinstance(value, int | float)
        else value
        for kind, value in zip(operator.kinds, args, strict=False)
    )


def united(groups: Iterable[tuple[Root, ...]]) -> tuple[Root, ...]:
    """Returns the stored numbers of several groups, each once."""
    return tuple(dict.fromkeys(root for group in groups for root in group))


def _starts(operator: Operator, read: list[Operand]) -> bool:
    # Zeros times weights: the first step of a recurrent layer. In use its state is not zero, so the step costs as any.
    if operator.short_name not in _MATRIX_PRODUCTS or not any(one.record.is_zero_state for one in read):
        return False
    return any(one.record.roots for one in read)

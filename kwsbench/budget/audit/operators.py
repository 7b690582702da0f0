"""What an operator's schema says: which arguments it reads, which it writes, and which are plain numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_SHAPE_ONLY = frozenset(
    {
        "empty_like",
        "full_like",
        "new_empty",
        "new_empty_strided",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones_like",
        "rand_like",
        "randint_like",
        "randn_like",
        "zeros_like",
    }
)
_OVERWRITING = frozenset(
    {
        "bernoulli_",
        "cauchy_",
        "copy_",
        "exponential_",
        "fill_",
        "geometric_",
        "log_normal_",
        "normal_",
        "random_",
        "uniform_",
        "zero_",
    }
)
_SCRAMBLING = frozenset(
    {
        "__and__",
        "__ilshift__",
        "__irshift__",
        "__lshift__",
        "__rshift__",
        "__xor__",
        "bitwise_and",
        "bitwise_left_shift",
        "bitwise_or",
        "bitwise_right_shift",
        "bitwise_xor",
        "div",
        "floor",
        "floor_divide",
        "fmod",
        "frac",
        "remainder",
        "trunc",
    }
)
_SEPARATING = frozenset({"ceil", "eq", "ge", "gt", "le", "lt", "ne", "round", "sign"})
_STATES = ("zeros", "zeros_like", "new_zeros")
_NEW_SHAPES = ("nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive", "bincount")


@dataclass(frozen=True)
class Operator:
    """One overload of an operator, as the audit needs to know it.

    Attributes:
        name: Namespace and name (`aten::mul`).
        overload: The same with its overload (`aten::mul.Tensor`).
        arguments: Names of the arguments, in order.
        kinds: Their types, as the schema writes them.
        written: Names of the arguments that it changes.
        overwritten: Those of them that it does not read.
        is_view: It returns a view of its first argument and computes nothing.
        reads_shapes_only: Its result does not depend on the values of its arguments.
        scrambles: It takes numbers apart, as unpacking of small integers does.
        separates: It can tell apart numbers that are stored in one, as rounding does.
        makes_zeros: It makes zeros, from which a recurrent layer starts.
        makes_new_shapes: The shape of its result depends on values.
    """

    name: str
    overload: str
    arguments: tuple[str, ...]
    kinds: tuple[str, ...]
    written: frozenset[str]
    overwritten: frozenset[str]
    is_view: bool
    reads_shapes_only: bool
    scrambles: bool
    separates: bool
    makes_zeros: bool
    makes_new_shapes: bool

    @property
    def short_name(self) -> str:
        """The name without its namespace."""
        return self.name.rpartition("::")[2]

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
        """Yields name, type and value of every argument that was given."""
        yield from zip(self.arguments, self.kinds, args, strict=False)
        for name, value in kwargs.items():
            position = self.arguments.index(name) if name in self.arguments else -1
            yield name, self.kinds[position] if position >= 0 else "", value


@lru_cache(maxsize=4096)
def operator_of(overload: Any) -> Operator:
    """Returns what the schema of an `OpOverload` says."""
    schema = overload._schema  # noqa: SLF001 - the schema has no public name
    short = schema.name.rpartition("::")[2]
    written = frozenset(a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write)
    blind = {a.name for a in schema.arguments if a.kwarg_only} | ({"self"} if short in _OVERWRITING else set())
    return Operator(
        name=schema.name,
        overload=overload.name(),
        arguments=tuple(a.name for a in schema.arguments),
        kinds=tuple(str(a.type) for a in schema.arguments),
        written=written,
        overwritten=written & blind,
        is_view=not written and any(r.alias_info is not None for r in schema.returns),
        reads_shapes_only=short in _SHAPE_ONLY,
        scrambles=short in _SCRAMBLING,
        separates=short.removesuffix("_") in _SEPARATING or short in _SEPARATING,
        makes_zeros=short in _STATES,
        makes_new_shapes=short in _NEW_SHAPES or overload.name() == "aten::repeat_interleave.Tensor",
    )


def tensors_in(value: Any) -> Iterator[Any]:
    """Yields the torch tensors in a value, through lists, tuples and dictionaries, in order."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors_in(one)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))

"""What one executed PyTorch operator multiplies, by the definitions of `kwsbench.budget.costs`.

An operator is looked up by its name: it has a formula, or it is known to multiply nothing, or its cost is not known.
Nothing counts as free because it is missing here. Only shapes and types of tensors are looked at, never their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kwsbench.budget.aten.call import Call, Formula
from kwsbench.budget.aten.elementwise import ELEMENTWISE
from kwsbench.budget.aten.fourier import FOURIER
from kwsbench.budget.aten.layers import LAYERS
from kwsbench.budget.aten.products import PRODUCTS
from kwsbench.budget.aten.recurrent import RECURRENT
from kwsbench.budget.aten.reductions import REDUCTIONS
from kwsbench.budget.aten.without_macs import CONSTANTS, DRAWS, DRAWS_IN_TRAINING, FREE, MOVES, QUESTIONS, VIEWS

NAMESPACE = "aten::"
FOREACH = "_foreach_"
VARIANTS = ("", "_", "_copy", "_out")
"""What a name may end with beside the operator's own: it changes its argument, copies a view, or writes to a result."""

FORMULAS: Mapping[str, Formula] = {**ELEMENTWISE, **REDUCTIONS, **PRODUCTS, **LAYERS, **RECURRENT, **FOURIER}
"""Operators that multiply, by their names without namespace and variant."""


def _with_variants(operators: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{NAMESPACE}{operator}{variant}" for operator in operators for variant in VARIANTS)


RANDOM_OPERATORS = _with_variants(DRAWS)
"""Names of operators that draw random numbers wherever they are executed, as their schemas have them."""

FACTORIES = _with_variants(CONSTANTS)
"""Names of operators that compute constants (ones, ranges, windows, ...), as their schemas have them."""


_STILL = _with_variants(VIEWS | MOVES | QUESTIONS | CONSTANTS)


def macs_of(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], outputs: Any) -> int | None:
    """Returns the MACs of one executed operator.

    Args:
        name: The operator as its schema names it (`aten::convolution`, `aten::mul_`), without the overload.
        args: Its positional arguments, in the order of the schema.
        kwargs: Its arguments by name.
        outputs: What it returned: a tensor, or a tuple or list that has one; None from some that change lists.

    Returns:
        MACs, 0 for what is known to multiply nothing; None where the operator, or this form of it, has no formula.

    >>> macs_of("aten::no_such_operator", (), {}, None) is None
    True
    >>> macs_of("aten::relu_", (), {}, None)
    0
    """
    if not name.startswith(NAMESPACE):
        return None
    operator = name.removeprefix(NAMESPACE)
    if operator.startswith(FOREACH):
        return _macs_of_each(operator.removeprefix(FOREACH), args, kwargs, outputs)
    return _macs(operator, Call(args, kwargs, outputs))


def draws_random(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Returns whether an operator draws random numbers in this call: a dropout only does where it is told to.

    >>> draws_random("aten::randn_like", (), {}), draws_random("aten::dropout", ("x", 0.5, False), {})
    (True, False)
    """
    position, flag = DRAWS_IN_TRAINING.get(_own_name(name.removeprefix(NAMESPACE), DRAWS_IN_TRAINING), (0, ""))
    return name in RANDOM_OPERATORS or bool(flag and Call(args, kwargs, None).arg(position, flag, default=False))


def moves(name: str) -> bool:
    """Returns whether an operator computes nothing: it moves values, or asks for their shapes.

    >>> moves("aten::reshape"), moves("aten::sum")
    (True, False)
    """
    return name in _STILL


def is_known(name: str) -> bool:
    """Returns whether the operator of that name has a formula or is known to multiply nothing.

    >>> is_known("aten::_foreach_mul_"), is_known("aten::linalg_svd")
    (True, False)
    """
    operator = name.removeprefix(NAMESPACE).removeprefix(FOREACH)
    return name.startswith(NAMESPACE) and any(_own_name(operator, known) for known in (FORMULAS, FREE))


def _own_name(operator: str, known: Mapping[str, Any] | frozenset[str]) -> str:
    """Returns the name without its variant, or nothing where no such operator is known."""
    candidates = (operator.removesuffix(variant) for variant in VARIANTS if operator.endswith(variant))
    return next((candidate for candidate in candidates if candidate in known), "")


def _macs(operator: str, call: Call) -> int | None:
    if formula := FORMULAS.get(_own_name(operator, FORMULAS)):
        return _evaluated(formula, call)
    return 0 if _own_name(operator, FREE) else None


def _evaluated(formula: Formula, call: Call) -> int | None:
    try:
        macs = formula(call)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return None  # an operator in a form that the formula does not know: nested tensors, packed weights, text
    return None if macs is None else int(macs)


def _macs_of_each(operator: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], outputs: Any) -> int | None:
    """Adds up what an operator on lists of tensors multiplies, tensor by tensor."""
    counts = [_macs(operator, call) for call in _calls_of_each(args, kwargs, outputs)]
    known = [macs for macs in counts if macs is not None]
    return sum(known) if len(known) == len(counts) and is_known(NAMESPACE + operator) else None


def _calls_of_each(args: tuple[Any, ...], kwargs: Mapping[str, Any], outputs: Any) -> Iterator[Call]:
    lists = [arg for arg in args if isinstance(arg, list | tuple)]
    results = lists[0] if outputs is None else outputs
    for position, result in enumerate(results):
        own = tuple(arg[position] if isinstance(arg, list | tuple) else arg for arg in args)
        yield Call(own, kwargs, result)

"""Which of the tensors in a checkpoint are the model's weights, and what they are called.

People save a `state_dict` bare, under a name (`{"model": {...}}`), beside an optimiser's state, or in nested dicts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwsbench.checkpoint.pickle_calls import Named, Opaque, StorageClaim, TensorClaim
from kwsbench.errors import InputError

_WEIGHTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
_OPTIMISER = "param_groups"
Keys = tuple[Any, ...]
"""What leads to a value in nested dicts and lists, from the outside in."""


@dataclass(frozen=True)
class Weights:
    """The weights in a checkpoint.

    Attributes:
        claims: By name, the keys that lead to a tensor from the outside in, and the tensor.
        metadata: Plain values at the outermost level.
        plain_numbers: Numbers among the weights that are no tensors: a bool, an integer or a float each, a complex
            number two, a byte string as many as it has bytes.
        left_out: Names of outermost entries that are neither, such as an optimiser's state.
    """

    claims: dict[str, tuple[Keys, TensorClaim]]
    metadata: dict[str, Any]
    plain_numbers: int
    left_out: tuple[str, ...]


def find_weights(value: Any, where: Path) -> Weights:
    """Finds the weights in a checkpoint.

    The entry `state_dict` is the weights. Otherwise, where the outermost dict has no tensors of its own, the only dict
    with tensors in it is, or the only one with a usual name (`model`, `net`, ...); otherwise all tensors are weights,
    except those of an optimiser. Names in nested dicts and lists are joined with dots.

    Args:
        value: What its pickle builds, as `scan_pickle` found out.
        where: The file, for messages.

    Raises:
        InputError: There are no named tensors in it, or two of one name.
    """
    if not isinstance(value, dict):
        raise InputError(f"cannot read {where}: {_kind(value)}, expected a dict of tensors; save `model.state_dict()`")
    path, chosen = _unwrapped(value)
    leaves = list(_leaves(chosen, path))
    claims: dict[str, tuple[Keys, TensorClaim]] = {}
    for keys, leaf in leaves:
        if isinstance(leaf, TensorClaim):
            name = _name(keys[len(path) :], where)
            if name in claims:
                raise InputError(f"cannot read {where}: it holds two tensors of the name {name!r}")
            claims[name] = keys, leaf
    if not claims:
        raise InputError(f"cannot read {where}: there are no tensors in it; save `model.state_dict()`")
    metadata = {key: part for key, part in value.items() if isinstance(key, str) and _is_plain(part)}
    used = {keys[0] for keys, _ in leaves}
    return Weights(claims, metadata, sum(_numbers(leaf) for _, leaf in leaves), _left_out(value, used, metadata))


def _kind(value: Any) -> str:
    return "it holds a single tensor" if isinstance(value, TensorClaim) else f"it holds a {type(value).__name__}"


def _unwrapped(value: dict[Any, Any]) -> tuple[Keys, dict[Any, Any]]:
    # The keys that lead to the weights, and the dict that they lead to.
    path: Keys = ()
    while (key := _wrapper(value)) is not None:
        path, value = (*path, key), value[key]
    return path, value


def _wrapper(value: dict[Any, Any]) -> Any:
    holders = [key for key, part in value.items() if isinstance(part, dict) and _is_weights(part)]
    if "state_dict" in holders:
        return "state_dict"
    if any(isinstance(part, TensorClaim) for part in value.values()):
        return None
    usual = [key for key in holders if key in _WEIGHTS]
    return next((some[0] for some in (holders, usual) if len(some) == 1), None)


def _is_weights(part: Any) -> bool:
    return _OPTIMISER not in part and any(isinstance(leaf, TensorClaim) for _, leaf in _leaves(part, ()))


def _leaves(value: Any, path: Keys) -> Iterator[tuple[Keys, Any]]:
    """Gives what is in nested dicts and lists with the keys that lead to it; passes over an optimiser's state."""
    if isinstance(value, dict):
        if _OPTIMISER in value:
            return
        for key, part in value.items():
            yield from _leaves(part, (*path, key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _leaves(part, (*path, index))
    else:
        yield path, value


def _name(keys: Keys, where: Path) -> str:
    name = ".".join(map(str, keys))
    if not name.isprintable():
        raise InputError(f"cannot read {where}: it holds a tensor whose name cannot be printed: {ascii(name)[:80]}")
    return name


def _is_plain(value: Any) -> bool:
    return not any(isinstance(leaf, TensorClaim | Opaque | Named | StorageClaim) for leaf in _all_leaves(value))


def _numbers(leaf: Any) -> int:
    if isinstance(leaf, bytes):
        return len(leaf)
    return 2 if isinstance(leaf, complex) else int(isinstance(leaf, int | float))


def _left_out(value: dict[Any, Any], weights: set[Any], metadata: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(key) for key in value if key not in weights and key not in metadata)


def _all_leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _all_leaves(part)
    else:
        yield value

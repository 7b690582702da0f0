"""What the few functions that a checkpoint's pickle may call would give, worked out from their arguments alone."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kwsbench.checkpoint.pickle_names import DTYPE_BYTES, DTYPES, SCHEMES

_MAX_INTEGER = 2**63
_MAX_DIMENSIONS = 64


@dataclass(frozen=True)
class Named:
    """Something that the pickle names: a function, a type of numbers, a storage type."""

    name: str


@dataclass(frozen=True)
class Opaque:
    """A value that is neither plain nor a tensor, such as a device; nothing is done with it."""

    name: str


@dataclass(frozen=True)
class StorageClaim:
    """A record of the archive as the storage of tensors.

    Attributes:
        key: Its name under `data/`.
        dtype: The type of its numbers.
        num_bytes: Its size.
    """

    key: str
    dtype: str
    num_bytes: int


@dataclass(frozen=True)
class TensorClaim:
    """A tensor that lies inside its storage.

    Attributes:
        storage: Where its numbers are.
        dtype: The type of its numbers, as PyTorch calls it (`float32`).
        offset: Of its first number, in numbers.
        size: Its shape.
        stride: From one number to the next along each dimension, in numbers; 0 where it repeats.
    """

    storage: StorageClaim
    dtype: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def is_key(value: Any) -> bool:
    """Returns whether a value may be the key of a dict."""
    # Hashing nested tuples, or integers made to collide, takes as long as the file wants.
    return type(value) is str or (type(value) is int and abs(value) < 2**32)


def is_count(value: Any) -> bool:
    """Returns whether a value is an integer from 0 on that PyTorch can hold."""
    return type(value) is int and 0 <= value < _MAX_INTEGER


def _checked(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _tensor(  # noqa: PLR0913, PLR0917 - the arguments of PyTorch's own function
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, metadata: Any = None
) -> TensorClaim:
    _checked(isinstance(storage, StorageClaim), "no storage")
    return _claim(storage, storage.dtype, (offset, size, stride), (requires_grad, hooks, metadata))


def _tensor_of_type(  # noqa: PLR0913, PLR0917 - the arguments of PyTorch's own function
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> TensorClaim:
    _checked(isinstance(storage, StorageClaim) and isinstance(dtype, Opaque), "no storage, or no type of numbers")
    return _claim(storage, DTYPES.get(dtype.name, ""), (offset, size, stride), (requires_grad, hooks, metadata))


def _quantised(  # noqa: PLR0913, PLR0917 - the arguments of PyTorch's own function
    storage: Any, offset: Any, size: Any, stride: Any, scheme: Any, requires_grad: Any, hooks: Any
) -> TensorClaim:
    claim = _tensor(storage, offset, size, stride, requires_grad, hooks)
    # PyTorch allocates all of its numbers first, also those that are one and the same.
    _checked(math.prod(claim.size) * DTYPE_BYTES[claim.dtype] <= claim.storage.num_bytes, "more numbers than stored")
    _checked(type(scheme) is tuple and isinstance(scheme[0], Named) and scheme[0].name in SCHEMES, "no scheme")
    if scheme[0].name == "torch per_tensor_affine":
        _checked([type(value) for value in scheme[1:]] == [float, int], "no scale and zero point")
    else:
        scales, zero_points, axis = scheme[1:]
        _checked(is_count(axis) and axis < len(claim.size), "no such axis")
        _checked(all(_has_one_per_channel(part, claim.size[axis]) for part in (scales, zero_points)), "no scales")
    return claim


def _has_one_per_channel(part: Any, channels: int) -> bool:
    return isinstance(part, TensorClaim) and part.size == (channels,) and part.stride == (1,)


def _claim(storage: StorageClaim, dtype: str, place: tuple[Any, Any, Any], extras: tuple[Any, Any, Any]) -> TensorClaim:
    offset, size, stride = place
    requires_grad, hooks, metadata = extras
    _checked(type(requires_grad) is bool and type(hooks) is OrderedDict and not hooks, "hooks")
    _checked(metadata is None or _is_view_of_a_number(metadata, dtype), "unknown metadata")
    _checked(dtype in DTYPE_BYTES and type(size) is type(stride) is tuple, "no shape")
    _checked(len(size) == len(stride) <= _MAX_DIMENSIONS and all(map(is_count, (offset, *size, *stride))), "no shape")
    _checked(math.prod(filter(None, size)) < _MAX_INTEGER, "a shape too large to count")
    reach = 0 if 0 in size else 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    _checked((offset + reach) * DTYPE_BYTES[dtype] <= storage.num_bytes, "numbers outside its storage")
    return TensorClaim(storage, dtype, offset, size, stride)


def _is_view_of_a_number(metadata: Any, dtype: str) -> bool:
    # PyTorch notes that a tensor is the conjugate or the negative of what is stored.
    flags = type(metadata) is dict and all(type(value) is bool for value in metadata.values())
    return flags and ("complex" in dtype or "float" in dtype) and set(metadata) <= {"conj", "neg"}


def _parameter(data: Any, requires_grad: Any, hooks: Any) -> TensorClaim:
    _checked(type(requires_grad) is bool, "no flag")
    if not isinstance(data, TensorClaim):
        raise TypeError("no tensor")
    _checked(type(hooks) is OrderedDict and not hooks, "hooks")
    _checked(not requires_grad or data.dtype.startswith(("float", "bfloat", "complex")), "a gradient of integers")
    return data


def _ordered_dict() -> OrderedDict[Any, Any]:
    return OrderedDict()


def _counter(counts: Any = None) -> Counter[Any]:
    _checked(counts is None or type(counts) is dict, "no counts")
    return Counter(counts)


def _size(sizes: Any) -> tuple[int, ...]:
    _checked(type(sizes) is tuple and all(map(is_count, sizes)), "no sizes")
    return tuple(sizes)


def _device(kind: Any, index: Any = 0) -> Opaque:
    _checked(type(kind) is str and kind.isalpha() and len(kind) < 16 and is_count(index) and index < 128, "no device")
    return Opaque(f"{kind}:{index}")


def _bytes(text: Any, encoding: Any) -> bytes:
    _checked(type(text) is str and encoding == "latin1", "no bytes")
    return str(text).encode("latin-1")


def _set(members: Any) -> Opaque:
    _checked(type(members) is list and all(map(is_key, members)), "no plain members")
    return Opaque("set")


def _complex(real: Any, imaginary: Any) -> complex:
    _checked(type(real) is type(imaginary) is float, "no parts")
    return complex(real, imaginary)


CALLS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "collections OrderedDict": _ordered_dict,
        "collections Counter": _counter,
        "torch Size": _size,
        "torch device": _device,
        "_codecs encode": _bytes,
        "__builtin__ set": _set,
        "__builtin__ complex": _complex,
        "torch._utils _rebuild_tensor_v2": _tensor,
        "torch._utils _rebuild_tensor_v3": _tensor_of_type,
        "torch._utils _rebuild_parameter": _parameter,
        "torch._utils _rebuild_qtensor": _quantised,
    }
)
"""The functions by the names in `pickle_names.CALLS`; each raises ValueError or TypeError for arguments that
`torch.save` does not write."""

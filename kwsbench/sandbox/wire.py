"""What crosses the sandbox's wall: one frame of JSON and raw arrays, checked before anything is made of it.

A frame is the length of its JSON (8 bytes, big-endian), the JSON, and the arrays one after the other in C order. JSON
is padded with spaces and arrays with zeros to a multiple of 64 bytes, so that arrays can be used where they lie.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from kwsbench.errors import RefusedError

DTYPES = {
    name: np.dtype(name)
    for name in (
        *("float16", "float32", "float64", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
}
"""Kinds of numbers that may cross, by name; always in this machine's byte order."""

MAX_JSON_BYTES = 8 << 20
MAX_JSON_DEPTH = 32
MAX_DIMENSIONS = 32

_ALIGNMENT = 64
_LENGTH_BYTES = 8

Arrays = dict[str, NDArray[Any]]
Pieces = list[bytes | memoryview]


def encode(record: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Pieces:
    """Returns a frame in pieces to be written one after the other; arrays are not copied where they are contiguous.

    Raises:
        TypeError: An array has another kind of number than `DTYPES`, or the record holds what JSON cannot.
        ValueError: The record holds NaN or infinity, which JSON has no word for.
    """
    whole = {name: _native(name, array) for name, array in arrays.items()}
    outline = [[name, array.dtype.name, list(array.shape)] for name, array in whole.items()]
    text = json.dumps({"record": record, "arrays": outline}, ensure_ascii=False, allow_nan=False).encode()
    text += b" " * _padding(_LENGTH_BYTES + len(text))
    pieces: Pieces = [len(text).to_bytes(_LENGTH_BYTES, "big"), text]
    for array in whole.values():
        pieces += [array.reshape(-1).view(np.uint8).data, bytes(_padding(array.nbytes))]
    return pieces


def write(descriptor: int, pieces: Iterable[bytes | memoryview]) -> None:
    """Writes every byte of `pieces` to a file descriptor, in order."""
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _native(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.name not in DTYPES:
        raise TypeError(f"array {name!r} holds {array.dtype}, which does not cross the sandbox's wall")
    return np.ascontiguousarray(array, DTYPES[array.dtype.name]).reshape(array.shape)


def _padding(num_bytes: int) -> int:
    return -num_bytes % _ALIGNMENT


def decode(frame: bytearray | memoryview) -> tuple[dict[str, Any], Arrays]:
    """Returns the record and the arrays of a frame; arrays are views of `frame`, so a claimed size costs nothing.

    Raises:
        RefusedError: It is not exactly one well-formed frame.
    """
    view = memoryview(frame)
    length = int.from_bytes(view[:_LENGTH_BYTES], "big")
    if len(view) < _LENGTH_BYTES or length > min(MAX_JSON_BYTES, len(view) - _LENGTH_BYTES):
        _refuse("its length is wrong")
    content = _json(bytes(view[_LENGTH_BYTES : _LENGTH_BYTES + length]))
    if not isinstance(content, dict) or content.keys() != {"record", "arrays"}:
        _refuse("it is no record with arrays")
    if not isinstance(content["record"], dict):
        _refuse("its record is no object")
    return content["record"], _arrays(content["arrays"], view[_LENGTH_BYTES + length :])


def _json(text: bytes) -> Any:
    try:
        content = json.loads(text.decode(), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        _refuse("its JSON is not valid")
    if _too_deep(content) or (rb"\u" in text and _has_half_characters(content)):
        _refuse("its JSON is nested too deeply, or not text")
    return content


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse("it holds a number that is not finite")


def _too_deep(content: Any) -> bool:
    level = [content]
    for _ in range(MAX_JSON_DEPTH):
        level = [child for parent in level for child in _children(parent)]
    return bool(level)


def _children(parent: Any) -> Iterable[Any]:
    if isinstance(parent, dict):
        return parent.values()
    return parent if isinstance(parent, list) else ()


def _has_half_characters(content: Any) -> bool:
    """Half a surrogate pair is a Python string that no terminal and no file takes."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _arrays(outline: Any, data: memoryview) -> Arrays:
    if not isinstance(outline, list):
        _refuse("its list of arrays is none")
    arrays: Arrays = {}
    start = 0
    for entry in outline:
        name, dtype, shape = _array_entry(entry)
        if name in arrays:
            _refuse("it names an array twice")
        size = math.prod(shape) * dtype.itemsize
        arrays[name] = _array(data[start : start + size], dtype, shape, size)
        start += size + _padding(size)
    if start != len(data):
        _refuse("its length is not that of its arrays")
    return arrays


def _array_entry(entry: Any) -> tuple[str, np.dtype[Any], list[int]]:
    match entry:
        case [str(name), str(dtype), list(shape)] if dtype in DTYPES and len(shape) <= MAX_DIMENSIONS:
            if all(type(size) is int and size >= 0 for size in shape):
                return name, DTYPES[dtype], shape
    return _refuse("an array's name, kind or shape is wrong")


def _array(data: memoryview, dtype: np.dtype[Any], shape: list[int], size: int) -> NDArray[Any]:
    if len(data) != size:
        _refuse("an array is cut off")
    if dtype.kind == "b" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        _refuse("a truth value is neither 0 nor 1")
    try:
        return np.frombuffer(data, dtype).reshape(shape)
    except (ValueError, OverflowError):
        return _refuse("an array's shape is impossible")


def _refuse(reason: str) -> NoReturn:
    raise RefusedError(f"the sandbox's answer is malformed and is not used: {reason}")

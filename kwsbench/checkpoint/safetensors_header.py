"""The header of a safetensors file: what it says of each tensor, held against the bytes that are there.

Layout: 8 bytes with the length of the header, little-endian; JSON `{name: {dtype, shape, data_offsets}}`; the numbers.
Source: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError

from kwsbench.errors import InputError

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 16 << 20
_MAX_DIMENSIONS = 64
_MAX_TENSORS = 20_000
_METADATA = "__metadata__"
_ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}
_PAIR = 2


class _Stated(BaseModel):
    """What the header says of one tensor."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dtype: str
    shape: list[NonNegativeInt] = Field(max_length=_MAX_DIMENSIONS)
    data_offsets: list[NonNegativeInt] = Field(min_length=_PAIR, max_length=_PAIR)


_STATED = TypeAdapter(dict[str, _Stated])
_TEXTS = TypeAdapter(dict[str, str])


def check_safetensors(data: bytes, where: Path) -> dict[str, str]:
    """Checks that the tensors of a safetensors file fill it exactly, one behind the other.

    Args:
        data: The whole file.
        where: Its name, for messages.

    Returns:
        The metadata in its header.

    Raises:
        InputError: It is cut off, damaged, or has numbers of a type that is not read.
    """
    fields, num_bytes = _header(data, where)
    try:
        metadata = _TEXTS.validate_python(fields.pop(_METADATA, {}), strict=True)
        stated = _STATED.validate_python(fields)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(part)[:80] for part in detail["loc"]) or "all of it"
        raise _damaged(where, f"{place!r}: {detail['msg'].lower()}") from error
    _require_filled(stated, num_bytes, where)
    return metadata


def _header(data: bytes, where: Path) -> tuple[dict[str, Any], int]:
    # The fields, and how many bytes of numbers follow.
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if length > _MAX_HEADER_BYTES:
        raise _damaged(where, f"it has {length:,} bytes, expected at most {_MAX_HEADER_BYTES:,}")
    if length + _LENGTH_BYTES > len(data):
        raise InputError(f"{where} is cut off: its safetensors header is not whole; copy or download it again")
    try:
        text = data[_LENGTH_BYTES : _LENGTH_BYTES + length].decode()
        fields = json.loads(text, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        raise _damaged(where, str(error).partition(";")[0]) from error
    if not isinstance(fields, dict):
        raise _damaged(where, "it is no JSON object")
    if len(fields) > _MAX_TENSORS:
        raise _damaged(where, f"it lists {len(fields):,} tensors, expected at most {_MAX_TENSORS:,}")
    return fields, len(data) - _LENGTH_BYTES - length


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name appears twice")
    return fields


def _damaged(where: Path, reason: str) -> InputError:
    return InputError(f"the safetensors header of {where} cannot be read: {reason}; save it again with safetensors")


def _require_filled(stated: dict[str, _Stated], num_bytes: int, where: Path) -> None:
    place = 0
    for name, tensor in sorted(stated.items(), key=lambda item: item[1].data_offsets):
        if tensor.dtype not in _ITEM_BYTES:
            raise InputError(f"cannot read {where}: {name[:80]!r} has numbers of the type {tensor.dtype[:20]!r}")
        start, end = tensor.data_offsets
        if start != place or end - start != math.prod(tensor.shape) * _ITEM_BYTES[tensor.dtype]:
            raise _damaged(where, f"{name[:80]!r} is not where it should be, or of another size than its shape")
        place = end
    if place > num_bytes:
        raise InputError(f"{where} is cut off: {num_bytes:,} of {place:,} bytes of numbers are there; copy it again")
    if place < num_bytes:
        raise _damaged(where, f"{num_bytes - place:,} bytes behind the last tensor belong to none")

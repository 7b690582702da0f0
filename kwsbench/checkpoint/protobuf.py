"""The outermost fields of a protobuf message, found without reading what is in them.

Encoding: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED_64: 8, _FIXED_32: 4}
_MAX_VARINT_BYTES = 10


@dataclass(frozen=True)
class Field:
    """One field of a message.

    Attributes:
        number: Its number in the message's definition.
        wire_type: How it is written: 0 an integer, 2 bytes with their length, 1 and 5 eight and four bytes.
        end: Where it ends; beyond the end of the message where that is cut off.
    """

    number: int
    wire_type: int
    end: int


def outermost_fields(data: bytes) -> Iterator[Field]:
    """Gives the fields of a message, one behind the other, up to its end or to what is no field.

    A message that is no protobuf gives few fields, the last of which does not end where the message does.
    """
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        field = Field(key >> 3, key & 7, _end(data, place, key & 7))
        yield field
        if field.end < 0:
            return
        place = field.end


def _end(data: bytes, place: int, wire_type: int) -> int:
    if wire_type == _VARINT:
        return _varint(data, place)[1]
    if wire_type == _LENGTH:
        length, place = _varint(data, place)
        return place + length
    return place + _FIXED_BYTES[wire_type] if wire_type in _FIXED_BYTES else -1


def _varint(data: bytes, place: int) -> tuple[int, int]:
    # One that the end of the message cuts off ends beyond it.
    value = 0
    for index, byte in enumerate(data[place : place + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, place + index + 1
    return value, len(data) + 1

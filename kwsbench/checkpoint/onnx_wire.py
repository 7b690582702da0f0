"""What a serialised message costs to parse, found by walking over its bytes: a few bytes can become many objects."""

from __future__ import annotations

from typing import Any

from kwsbench.errors import InputError, RefusedError

MAX_FIELDS = 1_000_000
MAX_PACKED_BYTES = 64 << 20
MAX_DEPTH = 30
MAX_NAME_BYTES = 2_000
"""Names stand in messages, and are compared and kept by the thousand; text that describes may be longer."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_NAMES = ("name", "op_type", "domain", "input", "output", "key", "overload", "ref_attr_name", "dim_param")
_PACKED_VARINTS = ("int32_data", "int64_data", "uint64_data", "dims", "ints")


def check_wire(data: bytes, descriptor: Any, name: str) -> None:
    """Checks that bytes hold a message of the given type, whole, of bounded depth and number of fields.

    Args:
        data: The serialised message.
        descriptor: Its protobuf descriptor.
        name: The file as messages shall call it.

    Raises:
        InputError: The bytes are no such message, or end in the middle of it.
        RefusedError: It nests too deeply, has too many fields, or a name of absurd length.
    """
    if not data:
        raise InputError(f"{name} is no ONNX model: it is empty")
    try:
        _Walk(data, name).message(0, len(data), descriptor, 0)
    except (IndexError, _CutOffError):
        found = "it is cut off" if data[:1] == b"\x08" else "it does not begin like one"
        raise InputError(f"{name} is no ONNX model: {found}; export it again, or copy it again") from None


class _CutOffError(Exception):
    """A field ends behind its message."""


class _Walk:
    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._name = name
        self._fields = 0
        self._packed_bytes = 0

    def message(self, at: int, end: int, descriptor: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise RefusedError(f"{self._name} is nested more than {MAX_DEPTH} levels deep")
        fields = descriptor.fields_by_number if descriptor is not None else {}
        while at < end:
            key, at = self._varint(at)
            field = fields.get(key >> 3)
            start, at = self._skip(key & 7, at)
            if at > end:
                raise _CutOffError
            self._count(field, key & 7, at - start)
            if field is not None and field.message_type is not None and key & 7 == _LENGTH:
                self.message(start, at, field.message_type, depth + 1)

    def _varint(self, at: int) -> tuple[int, int]:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._data[at]
            at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, at
        raise _CutOffError

    def _skip(self, wire_type: int, at: int) -> tuple[int, int]:
        # Where the field's content begins and ends.
        if wire_type == _VARINT:
            return at, self._varint(at)[1]
        if wire_type in _FIXED_BYTES:
            return at, at + _FIXED_BYTES[wire_type]
        if wire_type != _LENGTH:
            raise InputError(f"{self._name} is no ONNX model: it cannot be decoded")
        length, at = self._varint(at)
        return at, at + length

    def _count(self, field: Any, wire_type: int, size: int) -> None:
        self._fields += 1
        if wire_type == _LENGTH and field is not None and field.name in _PACKED_VARINTS:
            self._packed_bytes += size
        if field is not None and field.name in _NAMES and field.message_type is None and size > MAX_NAME_BYTES:
            raise RefusedError(
                f"{self._name} has a name of {size:,} bytes, more than the {MAX_NAME_BYTES:,} that are allowed"
            )
        if self._fields > MAX_FIELDS or self._packed_bytes > MAX_PACKED_BYTES:
            raise RefusedError(f"{self._name} is made of too many small parts; store its tensors as raw data")

"""Frames survive the way to and fro, and a hostile frame is refused before anything is made of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kwsbench.errors import RefusedError
from kwsbench.sandbox import wire
from tests.memory import takes_at_most

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
_RECORDS = st.dictionaries(st.text(st.characters(codec="utf-8")), _JSON)
_SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
_ARRAYS = st.dictionaries(
    st.text(st.characters(codec="utf-8")),
    st.sampled_from(sorted(wire.DTYPES)).flatmap(lambda name: hnp.arrays(name, _SHAPES)),
    max_size=4,
)


def _frame(record: dict[str, Any], arrays: dict[str, Any] | None = None) -> bytearray:
    return bytearray(b"".join(wire.encode(record, arrays or {})))


def _raw(content: str | bytes, data: bytes = b"") -> bytearray:
    text = content.encode() if isinstance(content, str) else content
    return bytearray(len(text).to_bytes(8, "big") + text + data)


def _outline(*arrays: Any, data: bytes = b"") -> bytearray:
    return _raw(json.dumps({"record": {}, "arrays": list(arrays)}), data)


@given(record=_RECORDS, arrays=_ARRAYS)
def test_what_goes_in_comes_out(record: dict[str, Any], arrays: dict[str, Any]) -> None:
    """JSON and arrays of every kind and shape are the same after the way to and fro, to the bit."""
    got_record, got_arrays = wire.decode(_frame(record, arrays))
    assert got_record == record
    assert list(got_arrays) == list(arrays)
    for name, array in arrays.items():
        assert got_arrays[name].dtype == array.dtype
        assert got_arrays[name].shape == array.shape
        assert got_arrays[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12).reshape(3, 4).T,
        np.arange(12)[::-2],
        np.arange(4, dtype=">i4"),
        np.broadcast_to(np.float32(1), (2, 3)),
    ],
    ids=["transposed", "strided", "big-endian", "broadcast"],
)
def test_the_layout_in_memory_does_not_matter(array: Any) -> None:
    """Transposed, strided, foreign-endian and broadcast arrays cross by value."""
    np.testing.assert_array_equal(wire.decode(_frame({}, {"a": array}))[1]["a"], array)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(content: bytes) -> None:
    """No random frame is taken for an answer, and none ends in another error."""
    with pytest.raises(RefusedError):
        wire.decode(bytearray(content))


@given(arrays=_ARRAYS, data=st.data())
def test_a_frame_cut_off_anywhere_is_refused(arrays: dict[str, Any], data: st.DataObject) -> None:
    """A frame that lacks its end, or has something after it, is refused."""
    frame = _frame({"a": 1}, arrays)
    with pytest.raises(RefusedError):
        wire.decode(frame[: data.draw(st.integers(0, len(frame) - 1))])
    with pytest.raises(RefusedError):
        wire.decode(frame + b"\0")


@pytest.mark.parametrize(
    "frame",
    [
        _outline(["a", "float32", [-1]]),
        _outline(["a", "float32", [1.0]], data=bytes(64)),
        _outline(["a", "float32", [True]], data=bytes(64)),
        _outline(["a", "float32", "1"], data=bytes(64)),
        _outline(["a", "float32", [10**12]]),
        _outline(["a", "float32", [2**63, 2**63, 2**63]]),
        _outline(["a", "float32", [0] + 31 * [2**62]]),
        _outline(["a", "float32", 33 * [1]], data=bytes(64)),
        _outline(["a", "object", [8]], data=bytes(64)),
        _outline(["a", "O", [8]], data=bytes(64)),
        _outline(["a", "U8", [2]], data=bytes(64)),
        _outline(["a", ["float32"], [16]], data=bytes(64)),
        _outline(["a", "bool", [64]], data=b"\2" * 64),
        _outline(["a", "int8", [64]], ["a", "int8", [0]], data=bytes(64)),
        _outline([7, "int8", [64]], data=bytes(64)),
        _outline("a"),
        _outline(["a", "int8"]),
        _raw('{"record": {}, "arrays": {}}'),
        _raw('{"record": [], "arrays": []}'),
        _raw('{"record": {}}'),
        _raw('{"record": {}, "arrays": [], "more": 1}'),
        _raw("[]"),
        _raw(b'{"record": {"\xff": 1}, "arrays": []}'),
        _raw('{"record": {"a": NaN}, "arrays": []}'),
        _raw('{"record": {"a": 1e999}, "arrays": []}'),
        _raw('{"record": {"a": %s}, "arrays": []}' % ("9" * 5000)),
        _raw('{"record": {"a": "\\ud800"}, "arrays": []}'),
        _raw('{"record": {"a": ' + 40 * "[" + 40 * "]" + '}, "arrays": []}'),
        _raw("[" * 1_000_000),
        _raw('{"record": {"a": "' + "x" * wire.MAX_JSON_BYTES + '"}, "arrays": []}'),
        bytearray(b"\xff" * 64),
        bytearray(),
    ],
)
def test_hostile_frames_are_refused(frame: bytearray) -> None:
    """Impossible shapes, foreign kinds, bad JSON and wrong sizes end in the one error that says so."""
    with pytest.raises(RefusedError, match="the sandbox's answer is malformed"):
        wire.decode(frame)


def test_a_claimed_size_costs_nothing() -> None:
    """An array that claims 4 TB in a frame of a hundred bytes is refused without memory being asked for."""
    frame = _outline(["a", "float32", [10**12]])
    with takes_at_most(1 << 20), pytest.raises(RefusedError):
        wire.decode(frame)


@pytest.mark.parametrize(
    ("record", "arrays"),
    [
        ({}, {"a": np.array([object()])}),
        ({}, {"a": np.array(["text"])}),
        ({"a": object()}, {}),
        ({"a": float("inf")}, {}),
    ],
    ids=["object array", "text array", "object", "infinity"],
)
def test_what_cannot_cross_is_not_sent(record: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Objects and what JSON has no word for fail where they are sent from."""
    with pytest.raises((TypeError, ValueError)):
        wire.encode(record, arrays)

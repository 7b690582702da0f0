"""Tests of `kwsbench.checkpoint.safetensors_header`: headers that lie about the numbers behind them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from kwsbench.checkpoint import safetensors_header
from kwsbench.checkpoint.model_file import Format
from kwsbench.checkpoint.tensors import read_tensors
from kwsbench.errors import InputError
from tests.checkpoint.conftest import as_model, safetensors_bytes


def _file(header: Any, numbers: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def _tensor(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes


def _read(data: bytes) -> dict[str, torch.Tensor]:
    return read_tensors(as_model(data, Format.SAFETENSORS)).tensors


def test_the_hand_made_file_is_read() -> None:
    """The file that the others are made from is a good one."""
    assert torch.equal(_read(_file({"w": _tensor()}))["w"], torch.zeros(2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.bool, torch.uint16, torch.complex64])
def test_types_are_read_as_the_library_writes_them(dtype: torch.dtype) -> None:
    """What the library writes is read with its type."""
    import safetensors.torch

    data = safetensors.torch.save({"w": torch.ones(3, 2).to(dtype), "empty": torch.ones(0, 3), "one": torch.tensor(1)})
    tensors = _read(data)
    assert tensors["w"].dtype == dtype
    assert tensors["empty"].shape == (0, 3)
    assert tensors["one"].shape == ()


TWO = {"a": _tensor(shape=[1], data_offsets=[0, 4]), "b": _tensor(shape=[1], data_offsets=[4, 8])}
BAD = {
    "no JSON": (b"{not json", "cannot be read"),
    "a list": (b"{}]", "cannot be read"),
    "text in no encoding": (b'{"\xff": 1}', "cannot be read"),
    "nested forever": (b'{"a":' + b"[" * 100_000, "cannot be read"),
    "a number of 10,000 digits": (b'{"a": ' + b"1" * 10_000 + b"}", "cannot be read"),
    "a name twice": (b'{"w": 1, "w": 2}', "a name appears twice"),
    "a field twice": (b'{"w": {"dtype": "F32", "dtype": "F64"}}', "a name appears twice"),
    "no offsets": ({"w": {"dtype": "F32", "shape": [2]}}, "w.data_offsets"),
    "another field": ({"w": _tensor(file="x")}, "extra inputs are not permitted"),
    "three offsets": ({"w": _tensor(data_offsets=[0, 4, 8])}, "at most 2"),
    "a negative size": ({"w": _tensor(shape=[-2])}, "greater than or equal to 0"),
    "a size that is a float": ({"w": _tensor(shape=[2.0])}, "w.shape.0"),
    "metadata that is no text": ({"w": _tensor(), "__metadata__": {"a": 1}}, "'a'"),
    "an unknown type": ({"w": _tensor(dtype="F3")}, "numbers of the type 'F3'"),
    "a larger shape": ({"w": _tensor(shape=[3])}, "of another size than its shape"),
    "10^12 numbers": ({"w": _tensor(shape=[10**12])}, "of another size than its shape"),
    "more numbers than there are": ({"w": _tensor(shape=[3], data_offsets=[0, 12])}, "is cut off: 8 of 12 bytes"),
    "offsets that turn back": ({"w": _tensor(data_offsets=[8, 0])}, "not where it should be"),
    "a hole": ({"w": _tensor(shape=[1], data_offsets=[4, 8])}, "not where it should be"),
    "an overlap": (TWO | {"b": _tensor(shape=[2], data_offsets=[0, 8])}, "not where it should be"),
    "numbers that belong to none": ({"w": _tensor(shape=[1], data_offsets=[0, 4])}, "4 bytes behind the last tensor"),
    "65 dimensions": ({"w": _tensor(shape=[1] * 65)}, "at most 64"),
    "sizes that PyTorch cannot hold": (
        {"w": _tensor(), "v": _tensor(shape=[0, 2**80], data_offsets=[8, 8])},
        "cannot",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_header_that_lies_is_one_message(kind: str) -> None:
    """What a header says has to fit the file exactly."""
    header, says = BAD[kind]
    with pytest.raises(InputError) as caught:
        _read(_file(header))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_header_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header has a size limit."""
    monkeypatch.setattr(safetensors_header, "_MAX_HEADER_BYTES", 10)
    with pytest.raises(InputError, match="expected at most 10"):
        _read(_file({"w": _tensor()}))


def test_more_tensors_than_any_model_has_are_not_looked_at() -> None:
    """A file of nothing but names, which would take half a minute to count, is refused by their number."""
    empty = _tensor(shape=[0], data_offsets=[0, 0])
    with pytest.raises(InputError, match="it lists 20,001 tensors, expected at most 20,000"):
        _read(_file({f"w{number}": empty for number in range(20_001)}, b""))


def test_every_shortened_file_says_so() -> None:
    """A file that ends too early is cut off, wherever it ends."""
    data = safetensors_bytes()
    for size in range(9, len(data)):
        with pytest.raises(InputError, match=r"is cut off"):
            _read(data[:size])

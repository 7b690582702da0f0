"""Files with bytes changed at random: whatever happens, it is an answer or one message."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kwsbench.checkpoint.formats import Format, format_of
from kwsbench.checkpoint.model_file import ModelFile
from kwsbench.checkpoint.network import load_network
from kwsbench.checkpoint.stored import stored_numbers
from kwsbench.checkpoint.tensors import read_tensors
from kwsbench.errors import KwsbenchError
from tests.checkpoint.conftest import (
    WHERE,
    checkpoint_with,
    exported_bytes,
    onnx_bytes,
    safetensors_bytes,
    saved,
    small_network,
    torchscript_bytes,
)

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)
TENSOR_FORMATS = (Format.KWSBENCH, Format.STATE_DICT, Format.LIGHTNING, Format.SAFETENSORS)


@functools.cache
def _good(kind: str) -> bytes:
    state = small_network().state_dict()
    makers = {
        "state_dict": lambda: saved(state),
        "kwsbench": lambda: saved({"format": 1, "baseline": "x", "state_dict": state}),
        "torchscript": torchscript_bytes,
        "pt2": exported_bytes,
        "onnx": onnx_bytes,
        "safetensors": safetensors_bytes,
        "lightgbm": lambda: b"tree\nversion=v4\n\nend of trees\n",
    }
    return makers[kind]()


def _changed(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    changed = bytearray(data)
    for place, byte in changes:
        changed[place % len(data)] = byte
    return bytes(changed)


def _use(data: bytes, path: Path = WHERE) -> None:
    """Does with a file all that can be done without running it."""
    try:
        model = ModelFile(path, data, format_of(data, path), "")
        if model.format is Format.KWSBENCH:
            load_network(model)
        if model.format in TENSOR_FORMATS:
            assert stored_numbers(read_tensors(model).tensors).params >= 0
    except KwsbenchError as error:
        message = error.message
        assert "\n" not in message


@pytest.mark.parametrize("kind", ["state_dict", "kwsbench", "torchscript", "pt2", "onnx", "safetensors", "lightgbm"])
@MANY
@given(changes=CHANGES, keep=st.floats(0.5, 1))
def test_a_damaged_file_is_an_answer_or_one_message(kind: str, changes: list[tuple[int, int]], keep: float) -> None:
    """Changed and shortened files of every format never end in anything else."""
    data = _changed(_good(kind), changes)
    _use(data)
    _use(data[: int(len(data) * keep)])


@pytest.mark.parametrize("kind", ["state_dict", "kwsbench"])
@MANY
@given(changes=CHANGES)
def test_a_damaged_pickle_in_a_whole_archive_is_an_answer_or_one_message(
    kind: str, changes: list[tuple[int, int]]
) -> None:
    """Where the check sums fit, what was changed reaches the scan of the pickle, and at times PyTorch."""
    from kwsbench.checkpoint.archives import open_archive

    archive = open_archive(_good(kind), WHERE)
    records = {name.partition("/data/")[2]: archive.read(name) for name in archive.entries if "/data/" in name}
    _use(checkpoint_with(_changed(archive.read(f"{archive.root}data.pkl"), changes), records))


@MANY
@given(data=st.binary(max_size=200))
def test_any_bytes_are_one_message(data: bytes) -> None:
    """Noise is no model, with or without a beginning that looks like one."""
    for beginning in (b"", b"PK\x03\x04", b"tree\n", b"\x08\x0a", b"\x10\0\0\0\0\0\0\0{", b"\x80\x02"):
        _use(beginning + data)


@MANY
@given(pickle=st.binary(max_size=80))
def test_any_pickle_is_an_answer_or_one_message(pickle: bytes) -> None:
    """Noise in the place of a checkpoint's pickle is refused or read."""
    _use(checkpoint_with(b"\x80\x02" + pickle + b"."))

"""Tests of `kwsbench.checkpoint.formats`: real files of every format, foreign files, and files that are cut off."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kwsbench.checkpoint.formats import Format, format_of
from kwsbench.checkpoint.protobuf import outermost_fields
from kwsbench.errors import InputError, KwsbenchError, RefusedError
from tests.checkpoint.conftest import (
    WHERE,
    Packed,
    exported_bytes,
    onnx_bytes,
    safetensors_bytes,
    saved,
    small_network,
    torchscript_bytes,
    zip_bytes,
)

LIGHTGBM = b"tree\nversion=v4\nnum_class=1\n\nend of trees\n"
OLD_EXPORT = zip_bytes(
    Packed(b"serialized_exported_program.json", b"{}"),
    Packed(b"serialized_state_dict.pt", b""),
    Packed(b"version", b"8.8"),
)


def _state() -> dict[str, torch.Tensor]:
    return small_network().state_dict()


REAL: dict[str, tuple[Callable[[], bytes], Format]] = {
    "a state_dict": (lambda: saved(_state()), Format.STATE_DICT),
    "a state_dict under a name": (lambda: saved({"model": _state()}), Format.STATE_DICT),
    "a single tensor": (lambda: saved(torch.zeros(3)), Format.STATE_DICT),
    "Lightning": (lambda: saved({"state_dict": _state(), "pytorch-lightning_version": "2.6"}), Format.LIGHTNING),
    "kwsbench": (lambda: saved({"format": 1, "baseline": "x", "state_dict": _state()}), Format.KWSBENCH),
    "TorchScript": (torchscript_bytes, Format.TORCHSCRIPT),
    "torch.export": (exported_bytes, Format.EXPORTED_PROGRAM),
    "torch.export before 2.7": (lambda: OLD_EXPORT, Format.EXPORTED_PROGRAM),
    "ONNX": (onnx_bytes, Format.ONNX),
    "safetensors": (safetensors_bytes, Format.SAFETENSORS),
    "LightGBM": (lambda: LIGHTGBM, Format.LIGHTGBM),
    "LightGBM by mail": (lambda: LIGHTGBM.replace(b"\n", b"\r\n"), Format.LIGHTGBM),
}


@pytest.mark.parametrize("name", ["model.pt", "model.onnx", "model.txt", "model"])
@pytest.mark.parametrize("kind", REAL)
def test_the_format_is_told_by_the_content(kind: str, name: str) -> None:
    """Every format is recognised under every name."""
    make, expected = REAL[kind]
    assert format_of(make(), Path(name)) == expected


def test_an_exported_onnx_model_is_onnx() -> None:
    """A model with a producer, metadata and functions is recognised without reading what is in it."""
    from onnx import helper, load_from_string

    model = load_from_string(onnx_bytes())
    model.producer_name, model.doc_string, model.domain, model.model_version = "p", "d", "o", 3
    helper.set_model_props(model, {"key": "value"})
    function = helper.make_function("own", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], [])
    model.functions.append(function)
    assert format_of(model.SerializeToString(), WHERE) == Format.ONNX


def _tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("model.pt"))
    return packed.getvalue()


def _npy() -> bytes:
    packed = io.BytesIO()
    np.save(packed, np.zeros(3))
    return packed.getvalue()


def _npy_of_objects() -> bytes:
    packed = io.BytesIO()
    np.save(packed, np.array([{}], dtype=object), allow_pickle=True)
    return packed.getvalue()


def _npz() -> bytes:
    packed = io.BytesIO()
    np.savez(packed, weight=np.zeros(3))
    return packed.getvalue()


def _zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return packed.getvalue()


CORE_ML = b"\x08\x04\x12\x02\x0a\x00\xa2\x1f\x03\x0a\x01x"
FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is empty"),
    "zeros": (lambda: bytes(5000), "zeros"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file, such as Keras writes; convert it to ONNX"),
    "TFLite": (lambda: b"\x1c\0\0\0TFL3" + bytes(50), "a TFLite model; convert it to ONNX"),
    "ORT": (lambda: b"\x1c\0\0\0ORTM" + bytes(50), "ONNX Runtime"),
    "Core ML": (lambda: CORE_ML, "a Core ML model; convert it to ONNX"),
    "GGUF": (lambda: b"GGUF\3\0\0\0", "a GGUF model"),
    "npy": (_npy, "a NumPy array; save the weights as safetensors"),
    "npz": (_npz, "a NumPy archive; save the weights as safetensors"),
    "gzip": (lambda: gzip.compress(b"tree\n"), "compressed with gzip; unpack it"),
    "bzip2": (lambda: b"BZh91AY", "compressed with bzip2"),
    "tar": (_tar, "a tar archive; unpack it"),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c\0", "a 7z archive"),
    "audio": (lambda: b"RIFF\x24\0\0\0WAVEfmt ", "audio"),
    "FLAC": (lambda: b"fLaC\0\0\0\x22", "audio"),
    "Ogg": (lambda: b"OggS\0\2", "audio"),
    "PNG": (lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "an image"),
    "JPEG": (lambda: b"\xff\xd8\xff\xe0\0\x10JFIF", "an image"),
    "an array of objects": (_npy_of_objects, "a NumPy array; save the weights as safetensors"),
    "a program": (lambda: b"\x7fELF\2\1\1", "compiled code"),
    "PDF": (lambda: b"%PDF-1.7\n", "a PDF document"),
    "a web page": (lambda: b"\n<!DOCTYPE html><html>404", "a web page; download the file itself"),
    "XML": (lambda: b'<?xml version="1.0"?><net>', "XML"),
    "JSON": (lambda: b'{"learner": {}}', "JSON"),
    "text": ("weights: потом".encode, "text"),
    "text with a BOM": (lambda: b"\xef\xbb\xbftree\nversion=v4", "text"),
    "Git LFS": (lambda: b"version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"),
    "noise": (lambda: b"\xfa\xce\xb0\x0c\xff\xfe" * 9, "it begins with b'"),
    "an Office document": (lambda: _zipped("[Content_Types].xml"), "an Office document"),
    "Keras": (lambda: _zipped("metadata.json", "config.json"), "a Keras model; convert it to ONNX"),
    "Java": (lambda: _zipped("META-INF/MANIFEST.MF"), "a Java archive"),
    "another zip": (lambda: _zipped("model.pt"), "a zip archive without a model that PyTorch wrote"),
    "a zip with another mark": (lambda: _zipped("m/archive_format"), "a zip archive without a model"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_named(kind: str) -> None:
    """A file of another kind is one sentence: what it seems to be, and what is read instead."""
    make, says = FOREIGN[kind]
    with pytest.raises(InputError) as caught:
        format_of(make(), WHERE)
    assert says in str(caught.value)
    assert "kwsbench reads its own checkpoints" in str(caught.value)
    assert "\n" not in str(caught.value)


class _Forest:
    """Stands for an estimator of `sklearn`, by name."""


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_bare_pickle_is_refused(protocol: int) -> None:
    """Pickles that are in no archive, as joblib writes them, are refused as the code that they are."""
    with pytest.raises(RefusedError, match="it is a pickle of Python, and loading it would run code"):
        format_of(pickle.dumps(_Forest(), protocol=protocol), WHERE)
    with pytest.raises(RefusedError, match="it is a pickle of joblib or scikit-learn"):
        format_of(pickle.dumps("sklearn", protocol=protocol), WHERE)


def test_an_old_checkpoint_is_refused_with_the_way_to_save_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe for a checkpoint of the time before zip archives works and runs no code."""
    old = saved(_state(), _use_new_zipfile_serialization=False)
    monkeypatch.chdir(tmp_path)
    Path("old.pt").write_bytes(old)
    with pytest.raises(RefusedError, match=r"as PyTorch did before version 1\.6") as caught:
        format_of(old, Path("old.pt"))
    exec(str(caught.value).split("`")[1])  # noqa: S102 - our own message, on our own file
    assert format_of(Path("weights.pt").read_bytes(), WHERE) == Format.STATE_DICT


def test_compiled_code_is_refused() -> None:
    """An archive of torch.export that brings a compiled library is refused."""
    library = Packed(b"m/data/aotinductor/model/x.so", b"\x7fELF")
    with pytest.raises(RefusedError, match="it holds compiled code"):
        format_of(zip_bytes(Packed(b"m/archive_format", b"pt2"), library), WHERE)


@pytest.mark.parametrize("kind", REAL)
def test_a_shortened_file_is_one_message(kind: str) -> None:
    """A file that ends at any place is recognised as the same format, or is one error; most often it is cut off."""
    make, expected = REAL[kind]
    data = make()
    errors = []
    for size in {*range(min(200, len(data))), *range(0, len(data), 97)}:
        try:
            found = format_of(data[:size], WHERE)
        except KwsbenchError as error:
            errors.append(str(error))
        else:
            assert found == expected
    assert all("\n" not in error for error in errors)
    if expected is not Format.SAFETENSORS:
        assert any("is cut off" in error for error in errors)


def test_a_huge_message_is_not_parsed() -> None:
    """Recognising ONNX passes over the graph, whatever it claims to hold."""
    graph = bytes(64 << 20)
    data = b"\x08\x0a\x3a" + bytes([0x80, 0x80, 0x80, 0x20]) + graph
    assert [(field.number, field.end) for field in outermost_fields(data)] == [(1, 2), (7, len(data))]
    assert format_of(data, WHERE) == Format.ONNX


def test_a_length_that_leads_far_beyond_the_end_is_cut_off() -> None:
    """A field that claims 2^63 bytes ends the search."""
    data = b"\x08\x0a\x3a" + b"\xff" * 8 + b"\x7f" + b"graph"
    with pytest.raises(InputError, match="is cut off: it begins as an ONNX model"):
        format_of(data, WHERE)


def test_many_fields_end_the_search() -> None:
    """A file of a million tiny fields is no model."""
    with pytest.raises(InputError):
        format_of(b"\x08\x00" * 1_000_000, WHERE)

"""Which format a model file has, told by its content and never by its name."""

from __future__ import annotations

import itertools
from enum import StrEnum
from pathlib import Path
from typing import Any

from kwsbench.checkpoint.archives import ZIP_MAGIC, Archive, open_archive
from kwsbench.checkpoint.foreign_files import archive_without_model, foreign_archive, foreign_file
from kwsbench.checkpoint.pickles import scan_archive
from kwsbench.checkpoint.protobuf import outermost_fields
from kwsbench.errors import InputError, RefusedError


class Format(StrEnum):
    """What a model file is.

    `KWSBENCH`, `STATE_DICT`, `LIGHTNING` and `SAFETENSORS` hold tensors; `TORCHSCRIPT`, `EXPORTED_PROGRAM` and `ONNX`
    hold programs; `LIGHTGBM` holds trees.
    """

    KWSBENCH = "kwsbench"
    STATE_DICT = "state_dict"
    LIGHTNING = "lightning"
    SAFETENSORS = "safetensors"
    TORCHSCRIPT = "torchscript"
    EXPORTED_PROGRAM = "pt2"
    ONNX = "onnx"
    LIGHTGBM = "lightgbm"


_LIGHTGBM_BEGINNINGS = (b"tree\n", b"tree\r\n", b"tree\r")
_LIGHTGBM_END = b"end of trees"
_MAX_SAFETENSORS_HEADER = 2**40  # more is no length
_FIRST_NAME = 30  # where the name of a zip archive's first entry begins
_OLD_EXPORT = frozenset({"version", "serialized_exported_program.json"})
_INTEGER, _BYTES = 0, 2
_ONNX_FIELDS = frozenset(
    {(1, _INTEGER), (5, _INTEGER)} | {(number, _BYTES) for number in (2, 3, 4, 6, 7, 8, 14, 20, 25, 26)}
)
_ONNX_GRAPH = 7
_MAX_ONNX_FIELDS = 100_000


def format_of(data: bytes, where: Path) -> Format:
    """Returns the format of a model file.

    A zip archive is checked from end to end, and so is the pickle of a checkpoint: it decides what the checkpoint is.

    Args:
        data: The whole file.
        where: Its name, for messages.

    Raises:
        InputError: It is cut off, damaged, or no model that is read; the message says what it is instead.
        RefusedError: It could do harm.
    """
    if data.startswith(ZIP_MAGIC):
        return _archive_format(data, where)
    if data.startswith(_LIGHTGBM_BEGINNINGS):
        return _lightgbm(data, where)
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < _MAX_SAFETENSORS_HEADER:
        return Format.SAFETENSORS
    if data.startswith(b"PK") and len(data) < len(ZIP_MAGIC):
        raise _cut_off(where, "a zip archive")
    return _onnx(data, where)


def _cut_off(where: Path, beginning: str) -> InputError:
    return InputError(f"{where} is cut off: it begins as {beginning} and has no end; copy or download it again")


def _lightgbm(data: bytes, where: Path) -> Format:
    if _LIGHTGBM_END not in data:
        raise _cut_off(where, "a LightGBM text model")
    return Format.LIGHTGBM


def _onnx(data: bytes, where: Path) -> Format:
    # https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, message ModelProto
    fields = list(itertools.islice(outermost_fields(data), _MAX_ONNX_FIELDS))
    if not fields or not all((field.number, field.wire_type) in _ONNX_FIELDS for field in fields):
        raise foreign_file(data, where)
    has_graph = any(field.number == _ONNX_GRAPH for field in fields)
    if has_graph and fields[-1].end == len(data):
        return Format.ONNX
    raise _cut_off(where, "an ONNX model") if has_graph or len(fields) > 1 else foreign_file(data, where)


def _archive_format(data: bytes, where: Path) -> Format:
    foreign = foreign_archive(_first_name(data), where)
    if foreign is not None:
        raise foreign
    archive = open_archive(data, where)
    names, root = set(archive.entries), archive.root
    if f"{root}constants.pkl" in names:
        return Format.TORCHSCRIPT
    if _is_exported(archive):
        return Format.EXPORTED_PROGRAM
    if root and f"{root}data.pkl" in names:
        return checkpoint_format(scan_archive(archive))
    raise archive_without_model(where)


def _first_name(data: bytes) -> str:
    size = int.from_bytes(data[26:28], "little")
    return data[_FIRST_NAME : _FIRST_NAME + size].decode("utf-8", errors="replace")


def _is_exported(archive: Archive) -> bool:
    names, mark = set(archive.entries), f"{archive.root}archive_format"
    if mark not in names:
        return names >= _OLD_EXPORT
    if archive.entries[mark].num_bytes != len(b"pt2") or archive.read(mark) != b"pt2":
        return False
    if any(name.startswith(f"{archive.root}data/aotinductor/") for name in names):
        raise RefusedError(
            f"refused {archive.where}: it holds compiled code; its author can save it with torch.export.save"
        )
    return True


def checkpoint_format(value: Any) -> Format:
    """Returns which kind of checkpoint it is whose pickle builds `value`, as `scan_pickle` found out."""
    weights = value.get("state_dict") if isinstance(value, dict) else None
    if not isinstance(weights, dict):
        return Format.STATE_DICT
    return Format.KWSBENCH if {"format", "baseline"} <= value.keys() else Format.LIGHTNING

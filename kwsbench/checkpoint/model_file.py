"""A model file as it was read: once, whole, and from one descriptor; all later work uses these bytes."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from kwsbench.checkpoint.formats import Format, format_of
from kwsbench.errors import InputError

__all__ = ["Format", "ModelFile", "read_model_bytes", "read_model_file"]

_MAX_BYTES = 512 << 20
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK  # a pipe must not wait for its writer


@dataclass(frozen=True)
class ModelFile:
    """A model file.

    Attributes:
        path: Where it was read; for messages, nothing reads it again.
        data: All its bytes.
        format: What they are.
        sha256: SHA-256 of the bytes, as 64 hexadecimal digits.
    """

    path: Path
    data: bytes = field(repr=False)
    format: Format
    sha256: str


def read_model_file(path: Path) -> ModelFile:
    """Reads a model file and recognises its format by its content. Runs nothing of it, and loads no PyTorch.

    Args:
        path: A regular file, or a link to one.

    Raises:
        InputError: There is no such file, it has over 512 MiB, it changed while it was read, or it is no model.
        RefusedError: It could do harm: an archive that swells or hides something, a pickle that would run code.
    """
    data = read_model_bytes(path)
    return ModelFile(path, data, format_of(data, path), hashlib.sha256(data).hexdigest())


def read_model_bytes(path: Path) -> bytes:
    """Reads a file that may be a model, whatever it holds. Raises InputError as `read_model_file` does."""
    try:
        _require_regular(path, path.stat())  # opening some devices already does something
        descriptor = os.open(path, _FLAGS)
        with open(descriptor, "rb", buffering=0) as handle:  # noqa: PTH123 - a descriptor
            return _read_whole(path, descriptor, handle)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read the model {path}: {reason.lower()}") from error


def _require_regular(path: Path, info: os.stat_result) -> None:
    if stat.S_ISREG(info.st_mode):
        return
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    kind = next((kind for is_kind, kind in kinds if is_kind(info.st_mode)), "a device")
    raise InputError(f"cannot read the model {path}: it is {kind}")


def _read_whole(path: Path, descriptor: int, handle: io.FileIO) -> bytes:
    before = os.fstat(descriptor)
    _require_regular(path, before)
    if before.st_size > _MAX_BYTES:
        raise InputError(
            f"cannot read the model {path}: it has {before.st_size:,} bytes, expected at most {_MAX_BYTES:,}"
        )
    data = _read_up_to(handle, before.st_size + 1)
    after = os.fstat(descriptor)
    if (len(data), after.st_size, after.st_mtime_ns) != (before.st_size, before.st_size, before.st_mtime_ns):
        raise InputError(f"cannot read the model {path}: it changed while it was read; try again when it is complete")
    return data


def _read_up_to(handle: io.FileIO, num_bytes: int) -> bytes:
    # One read gives at most 2 GiB, and less where a signal comes.
    chunks = []
    while num_bytes and (chunk := handle.read(num_bytes)):
        chunks.append(chunk)
        num_bytes -= len(chunk)
    return b"".join(chunks)

"""What an exported model says of itself: kwsbench's header inside ONNX, TorchScript and `.pt2` files."""

from __future__ import annotations

import io
import zipfile

from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.header_reading import parse_header
from kwsbench.checkpoint.model_file import Format, ModelFile
from kwsbench.checkpoint.onnx_file import header_of, load_graph
from kwsbench.errors import InputError

HEADER_FILE = "kwsbench.json"
"""Name of the extra file of an archive that holds the header."""

_MAX_BYTES = 1 << 20


def header_of_export(model: ModelFile) -> ModelHeader | None:
    """Returns the header of an export; None where kwsbench did not export it.

    Nothing of the file is run. A header is what the file says: whoever made the file could write another.

    Raises:
        InputError: There is a header, and it is not one that this kwsbench reads.
        RefusedError: It would be unsafe to read.
    """
    if model.format == Format.ONNX:
        return header_of(load_graph(model.data, str(model.path)), str(model.path))
    if model.format in (Format.TORCHSCRIPT, Format.EXPORTED_PROGRAM):
        return _header_of_archive(model)
    return None


def _header_of_archive(model: ModelFile) -> ModelHeader | None:
    with zipfile.ZipFile(io.BytesIO(model.data)) as archive:
        named = [entry for entry in archive.infolist() if entry.filename.endswith(f"/extra/{HEADER_FILE}")]
        if not named:
            return None
        if named[0].file_size > _MAX_BYTES:
            raise InputError(f"the header of {model.path} has {named[0].file_size:,} bytes; none is that long")
        text = archive.read(named[0])
    return parse_header(model.path, text.decode(errors="replace"), ModelHeader)

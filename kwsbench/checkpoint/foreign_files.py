"""What a file is that holds no model which kwsbench reads: one sentence each, told by the file's first bytes."""

from __future__ import annotations

from pathlib import Path

from kwsbench.checkpoint.protobuf import outermost_fields
from kwsbench.errors import InputError, KwsbenchError, RefusedError

_READS = (
    "kwsbench reads its own checkpoints, weights that PyTorch or Lightning saved, safetensors, TorchScript, .pt2, ONNX "
    "and LightGBM text models"
)
_AS_ONNX = "convert it to ONNX"
_UNPACK = "unpack it and name the model in it"
_FETCH = "download the file itself"

_BEGINNINGS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as Keras writes", _AS_ONNX),
    (4, b"TFL3", "a TFLite model", _AS_ONNX),
    (4, b"ORTM", "a model in the format of ONNX Runtime", "give the ONNX file that it was made from"),
    (0, b"GGUF", "a GGUF model", _AS_ONNX),
    (0, b"\x93NUMPY", "a NumPy array", "save the weights as safetensors"),
    (0, b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (0, b"BZh", "compressed with bzip2", _UNPACK),
    (0, b"\xfd7zXZ\x00", "compressed with xz", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"RIFF", "audio", "name a model"),
    (0, b"fLaC", "audio", "name a model"),
    (0, b"OggS", "audio", "name a model"),
    (0, b"\x89PNG", "an image", "name a model"),
    (0, b"\xff\xd8\xff", "an image", "name a model"),
    (0, b"\x7fELF", "compiled code", "name a model"),
    (0, b"MZ", "compiled code", "name a model"),
    (0, b"%PDF", "a PDF document", "name a model"),
    (0, b"version https://git-lfs", "a placeholder of Git LFS", "run `git lfs pull`"),
)
_PACKED_BEGINNINGS = {
    "[Content_Types].xml": ("an Office document", "name a model"),
    "META-INF/": ("a Java archive", "name a model"),
    "metadata.json": ("a Keras model", _AS_ONNX),
    "config.json": ("a Keras model", _AS_ONNX),
}
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PICKLE_PROTOCOLS = range(2, 6)
_FIRST_CORE_ML_MODEL = 200  # the numbers of the fields that hold one of its kinds of model


def foreign_file(data: bytes, where: Path) -> KwsbenchError:
    """Returns the error that says what a file seems to be, and what to do."""
    if not data:
        return InputError(f"{where} is empty; {_READS}")
    if data.startswith(_OLD_TORCH):
        return _old_torch(where)
    if data[0] == 0x80 and len(data) > 1 and data[1] in _PICKLE_PROTOCOLS:
        return _bare_pickle(data, where)
    return _no_model(where, *_description(data))


def foreign_archive(first_name: str, where: Path) -> KwsbenchError | None:
    """Returns the error for a zip archive that is known not to be a model by its first name; None where it may be."""
    if first_name.endswith(".npy"):
        return _no_model(where, "a NumPy archive", "save the weights as safetensors")
    for beginning, description in _PACKED_BEGINNINGS.items():
        if first_name.startswith(beginning):
            return _no_model(where, *description)
    return None


def archive_without_model(where: Path) -> KwsbenchError:
    """Returns the error for a zip archive with none of the files that make it a model."""
    return _no_model(where, "a zip archive without a model that PyTorch wrote", _UNPACK)


def _no_model(where: Path, seems: str, remedy: str) -> InputError:
    return InputError(f"{where} is no model that kwsbench reads: it seems to be {seems}; {remedy} ({_READS})")


def _old_torch(where: Path) -> RefusedError:
    recipe = f'torch.save(torch.load("{where.name}", weights_only=True), "weights.pt")'
    return RefusedError(f"refused {where}: it was saved as PyTorch did before version 1.6; save it again: `{recipe}`")


def _bare_pickle(data: bytes, where: Path) -> RefusedError:
    maker = "joblib or scikit-learn" if b"sklearn" in data[:4096] or b"joblib" in data[:4096] else "Python"
    return RefusedError(
        f"refused {where}: it is a pickle of {maker}, and loading it would run code; its author can export the model to ONNX"
    )


def _description(data: bytes) -> tuple[str, str]:
    for place, magic, seems, remedy in _BEGINNINGS:
        if data.startswith(magic, place):
            return seems, remedy
    if not any(data[:4096]):
        return "zeros", "copy or download it again"
    if _is_core_ml(data):
        return "a Core ML model", _AS_ONNX
    return _text_description(data[:4096])


def _is_core_ml(data: bytes) -> bool:
    fields = [field for field, _ in zip(outermost_fields(data), range(1000), strict=False)]
    plausible = data[0] == 0x08 and fields[-1].end == len(data)
    return plausible and any(field.number >= _FIRST_CORE_ML_MODEL for field in fields)


def _text_description(head: bytes) -> tuple[str, str]:
    text = head.decode("utf-8-sig", errors="ignore")
    start = text.lstrip().lower()
    if b"\0" in head or len(text.encode()) < len(head) - 8:
        return f"something else, it begins with {head[:8]!r}", "name a model"
    if start.startswith(("<!doctype html", "<html")):
        return "a web page", _FETCH
    if start.startswith("<?xml"):
        return "XML, such as OpenVINO writes", _AS_ONNX
    return ("JSON", "name the model") if start.startswith(("{", "[")) else ("text", "name a model")

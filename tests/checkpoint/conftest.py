"""Model files that are honest, and the parts that dishonest ones are put together from."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.model_file import Format, ModelFile
from kwsbench.front_end import FrontEnd

WHERE = Path("model.pt")
FOUR_FLOATS = bytes(16)


def small_network() -> nn.Module:
    """A network with batch norm, 245 numbers without its statistics, for inputs of shape (batch, 4, 5)."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(4, 8, 3), nn.BatchNorm1d(8), nn.Flatten(), nn.Linear(24, 5)).eval()


def saved(value: Any, **options: Any) -> bytes:
    """What `torch.save` writes."""
    packed = io.BytesIO()
    torch.save(value, packed, **options)
    return packed.getvalue()


def as_model(data: bytes, kind: Format = Format.STATE_DICT) -> ModelFile:
    """Bytes as a model file, as if they had been let pass."""
    return ModelFile(WHERE, data, kind, "")


def torchscript_bytes() -> bytes:
    """The small network as a TorchScript archive."""
    packed = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(small_network()), packed)
    return packed.getvalue()


def exported_bytes() -> bytes:
    """The small network as `torch.export` saves it."""
    packed = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(small_network(), (torch.zeros(2, 4, 5),)), packed)
    return packed.getvalue()


def onnx_bytes() -> bytes:
    """An ONNX model that is one matrix product."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor("w", TensorProto.FLOAT, [4, 2], [0.5] * 8)],
    )
    return bytes(helper.make_model(graph).SerializeToString())


def safetensors_bytes(metadata: dict[str, str] | None = None) -> bytes:
    """The small network's weights as safetensors."""
    import safetensors.torch

    return bytes(safetensors.torch.save(small_network().state_dict(), metadata))


@dataclass
class Packed:
    """An entry of a zip archive, every byte of it to choose; the directory may say something else than the entry."""

    name: bytes
    content: bytes = b""
    method: int = 0
    local: Mapping[str, Any] = field(default_factory=dict)
    central: Mapping[str, Any] = field(default_factory=dict)
    behind: bytes = b""

    def stated(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """What is said of it in one of the two places."""
        packed = self.packed()
        facts = {"name": self.name, "method": self.method, "flags": 0, "crc": zlib.crc32(self.content)}
        more = {"packed": len(packed), "size": len(self.content), "extra": b"", "attributes": 0, "comment": b""}
        return {**facts, **more, **changes}

    def packed(self) -> bytes:
        """Its content as it stands in the archive."""
        if self.method != 8:
            return self.content
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        return deflate.compress(self.content) + deflate.flush()


def zip_bytes(*entries: Packed, before: bytes = b"", end: Mapping[str, int] | None = None, after: bytes = b"") -> bytes:
    """A zip archive of the entries; `end` changes what its end says."""
    data, directory = before, b""
    for entry in entries:
        says = entry.stated({"offset": len(data), **entry.central})
        directory += _central(says)
        data += _local(entry.stated(entry.local)) + entry.packed() + entry.behind
    facts = {"count": len(entries), "size": len(directory), "start": len(data), "comment": 0, **(end or {})}
    numbers = (0, 0, facts["count"], facts["count"], facts["size"], facts["start"], facts["comment"])
    return data + directory + struct.pack("<4s4H2LH", b"PK\x05\x06", *numbers) + after


def _local(says: dict[str, Any]) -> bytes:
    numbers = (20, says["flags"], says["method"], 0, 0, says["crc"], says["packed"], says["size"])
    lengths = (len(says["name"]), len(says["extra"]))
    return struct.pack("<4s5H3L2H", b"PK\x03\x04", *numbers, *lengths) + says["name"] + says["extra"]


def _central(says: dict[str, Any]) -> bytes:
    numbers = (20, 20, says["flags"], says["method"], 0, 0, says["crc"], says["packed"], says["size"])
    lengths = (len(says["name"]), len(says["extra"]), len(says["comment"]), 0, 0)
    header = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *numbers, *lengths, says["attributes"], says["offset"])
    return bytes(header + says["name"] + says["extra"] + says["comment"])


def checkpoint_with(pickle: bytes, records: Mapping[str, bytes] | None = None) -> bytes:
    """A checkpoint with a pickle of one's own; its only record is `0`, four floats, unless told otherwise."""
    records = {"0": FOUR_FLOATS} if records is None else records
    content = [Packed(b"m/data.pkl", pickle), Packed(b"m/version", b"3\n"), Packed(b"m/byteorder", b"little")]
    return zip_bytes(*content, *(Packed(f"m/data/{name}".encode(), data) for name, data in records.items()))


class Opcodes:
    """Instructions of a pickle, by what they do."""

    START = b"\x80\x02"
    EMPTY_HOOKS = b"ccollections\nOrderedDict\n)R"

    @staticmethod
    def text(value: str) -> bytes:
        """Pushes text."""
        encoded = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(encoded)) + encoded

    @staticmethod
    def number(value: int) -> bytes:
        """Pushes an integer of up to 255 bytes."""
        encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(encoded)]) + encoded

    @staticmethod
    def name(module: str, name: str) -> bytes:
        """Pushes what is called so."""
        return f"c{module}\n{name}\n".encode()

    @classmethod
    def numbers(cls, *values: int) -> bytes:
        """Pushes a tuple of integers."""
        return b"(" + b"".join(map(cls.number, values)) + b"t"

    @classmethod
    def storage(cls, key: bytes | None = None, count: int = 4, kind: str = "FloatStorage") -> bytes:
        """Pushes a storage, the record `0` as four floats unless told otherwise."""
        identity = cls.text("storage") + cls.name("torch", kind) + (cls.text("0") if key is None else key)
        return b"(" + identity + cls.text("cpu") + cls.number(count) + b"tQ"

    @classmethod
    def tensor(cls, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,), /, **parts: bytes) -> bytes:
        """Pushes a tensor."""
        before = parts.get("storage", cls.storage()) + parts.get("offset", cls.number(0))
        shape = parts.get("size", cls.numbers(*size)) + parts.get("stride", cls.numbers(*stride))
        rest = parts.get("requires_grad", b"\x89") + parts.get("hooks", cls.EMPTY_HOOKS) + parts.get("metadata", b"")
        return cls.name("torch._utils", "_rebuild_tensor_v2") + b"(" + before + shape + rest + b"tR"

    @classmethod
    def dict_of(cls, value: bytes, key: bytes | None = None) -> bytes:
        """A whole pickle of a dict with one entry."""
        return cls.START + b"}" + (cls.text("w") if key is None else key) + value + b"s."


@pytest.fixture
def header() -> ModelHeader:
    """The header of a small network."""
    front_end = FrontEnd(kind="log_mel", window_samples=400, hop_samples=160, n_fft=400, num_mels=4)
    return ModelHeader(
        baseline="tiny",
        config={"depth": 2, "rate": 0.5, "name": "tiny", "wide": True},
        labels=("yes", "no", "да", "_unknown_", "_silence_"),
        num_keywords=3,
        front_end=front_end,
        sample_rate_hz=16_000,
        clip_samples=16_000,
        manifest="mini",
        revision=1,
        clips_sha256="0" * 64,
        seed=7,
        kwsbench_version="0.1.0",
    )

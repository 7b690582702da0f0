"""Tests of `kwsbench.checkpoint.tensors`: what comes out of honest files, and how PyTorch is called."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import pytest
import torch
from torch import nn

from kwsbench.checkpoint.model_file import Format
from kwsbench.checkpoint.stored import stored_numbers
from kwsbench.checkpoint.tensors import read_tensors
from kwsbench.errors import InputError
from tests.checkpoint.conftest import (
    FOUR_FLOATS,
    Opcodes,
    Packed,
    as_model,
    checkpoint_with,
    safetensors_bytes,
    saved,
    small_network,
    zip_bytes,
)

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128, torch.bool),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
]


def _same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    facts = [
        (t.dtype, t.size(), t.stride(), t.storage_offset(), t.untyped_storage().tolist()) for t in (found, expected)
    ]
    return facts[0] == facts[1]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_of_number_is_read(dtype: torch.dtype) -> None:
    """Tensors of every type come out as they went in."""
    tensor = torch.arange(6).to(dtype).reshape(2, 3)
    assert _same(read_tensors(as_model(saved({"w": tensor}))).tensors["w"], tensor)


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t,
        lambda t: t.T,
        lambda t: t[1:, ::2],
        lambda t: t[0].expand(1000, 4),
        lambda t: t.reshape(-1).unfold(0, 5, 1),
        lambda t: t[:0],
        lambda t: t[1, 2],
        nn.Parameter,
        lambda t: t.to(torch.complex64).conj(),
        lambda t: t.to(torch.complex64).conj().imag,
    ],
    ids=["whole", "transposed", "slice", "repeated", "overlapping", "empty", "scalar", "parameter", "conj", "neg"],
)
def test_views_stay_views(view: Any) -> None:
    """A view comes out with its size, stride, offset and storage, and with the numbers that PyTorch gives it."""
    tensor = view(torch.arange(12.0).reshape(3, 4))
    found = read_tensors(as_model(saved({"w": tensor}))).tensors["w"]
    assert _same(found.resolve_conj().resolve_neg(), tensor.detach().resolve_conj().resolve_neg())
    assert torch.equal(found, tensor)
    assert type(found) is torch.Tensor


def test_shared_storage_stays_shared() -> None:
    """Tied weights come out tied."""
    weight = torch.ones(3)
    tensors = read_tensors(as_model(saved({"a": weight, "b": weight, "c": weight[1:]}))).tensors
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors.values()}) == 1


@pytest.mark.parametrize("per_channel", [False, True])
def test_quantised_tensors_are_read(per_channel: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Integers with their scales and zero points come out as they were."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weight, scales = torch.arange(6.0).reshape(2, 3), torch.tensor([0.5, 0.25])
        zeros = torch.zeros(2, dtype=torch.int64)
        one = torch.quantize_per_tensor(weight, 0.5, 3, torch.qint8)
        tensor = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8) if per_channel else one
        found = read_tensors(as_model(saved({"w": tensor}))).tensors["w"]
        assert torch.equal(found.int_repr(), tensor.int_repr())
        assert torch.equal(found.dequantize(), tensor.dequantize())
        assert stored_numbers({"w": found}).params == (10 if per_channel else 8)


def _with_byte_order(order: bytes, numbers: bytes) -> bytes:
    entries = [Packed(b"m/data.pkl", Opcodes.dict_of(Opcodes.tensor())), Packed(b"m/byteorder", order)]
    return zip_bytes(*entries, Packed(b"m/version", b"3\n"), Packed(b"m/data/0", numbers))


def test_a_checkpoint_of_the_other_byte_order_is_read() -> None:
    """Numbers that were written on a big-endian machine are turned."""
    numbers = torch.arange(4.0)
    data = _with_byte_order(b"big", numbers.numpy().byteswap().tobytes())
    assert torch.equal(read_tensors(as_model(data)).tensors["w"], numbers)


def test_what_pytorch_does_not_understand_is_one_message() -> None:
    """An error of PyTorch's own becomes a sentence that names the file."""
    with pytest.raises(InputError, match=r"PyTorch cannot read model\.pt: Unknown endianness type: middle"):
        read_tensors(as_model(_with_byte_order(b"middle", FOUR_FLOATS)))


def test_pytorch_is_asked_for_weights_only_from_the_bytes_that_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second lock is always closed: no other objects, no other device, no other file."""
    asked: dict[str, Any] = {}
    real = torch.load

    def load(file: Any, **options: Any) -> Any:
        asked.update(options, data=file.getvalue())
        return real(file, **options)

    monkeypatch.setattr(torch, "load", load)
    data = saved({"w": torch.ones(1)})
    read_tensors(as_model(data))
    assert asked == {"data": data, "weights_only": True, "map_location": "cpu", "mmap": False}


def test_settings_of_the_process_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has PyTorch map files into memory, or load without protection, gets the same tensors here."""
    from torch.utils.serialization import config

    monkeypatch.setattr(config.load, "mmap", True)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert torch.equal(read_tensors(as_model(saved({"w": torch.ones(2)}))).tensors["w"], torch.ones(2))


def test_a_tensor_that_pytorch_reads_differently_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes out is held against what was found in the pickle."""
    monkeypatch.setattr(torch, "load", lambda *_, **__: {"w": torch.zeros(5)})
    with pytest.raises(InputError, match="PyTorch reads 'w' in it as something else than is stored"):
        read_tensors(as_model(checkpoint_with(Opcodes.dict_of(Opcodes.tensor()))))


@pytest.mark.parametrize("kind", [Format.TORCHSCRIPT, Format.EXPORTED_PROGRAM, Format.ONNX, Format.LIGHTGBM])
def test_programs_are_not_read_for_their_tensors(kind: Format) -> None:
    """Nothing of a program is loaded here."""
    with pytest.raises(InputError, match=f"model.pt is a program \\({kind}\\)"):
        read_tensors(as_model(b"", kind))


def test_safetensors_are_read_with_their_metadata() -> None:
    """The same weights as the network's, and the texts beside them."""
    stored = read_tensors(as_model(safetensors_bytes({"epoch": "3"}), Format.SAFETENSORS))
    expected = small_network().state_dict()
    assert stored.tensors.keys() == expected.keys()
    assert all(torch.equal(stored.tensors[name], tensor) for name, tensor in expected.items())
    assert stored.metadata == {"epoch": "3"}


@pytest.mark.parametrize(("module", "kind"), [("torch", Format.STATE_DICT), ("safetensors", Format.SAFETENSORS)])
def test_a_missing_library_is_named(module: str, kind: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to install what is missing."""
    data = safetensors_bytes() if kind is Format.SAFETENSORS else saved({"w": torch.ones(1)})
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"is not installed; run `pip install 'kwsbench\[torch\]'`"):
        read_tensors(as_model(data, kind))


def test_a_file_that_names_a_record_without_a_root_is_one_message() -> None:
    """PyTorch wants everything in one folder; what has none is no checkpoint."""
    with pytest.raises(InputError, match=r"there is no data\.pkl in it"):
        read_tensors(as_model(zip_bytes(Packed(b"data.pkl", b"\x80\x02}."))))

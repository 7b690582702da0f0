"""Tests of `kwsbench.checkpoint.pickles`: what a checkpoint's pickle may do, and all that it may not."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kwsbench.checkpoint import pickles
from kwsbench.checkpoint.model_file import read_model_file
from kwsbench.checkpoint.pickle_calls import CALLS, TensorClaim
from kwsbench.checkpoint.pickle_names import CALLS as CALL_NAMES
from kwsbench.checkpoint.pickle_names import DTYPE_BYTES
from kwsbench.checkpoint.pickles import scan_pickle
from kwsbench.checkpoint.tensors import read_tensors
from kwsbench.errors import InputError, KwsbenchError, RefusedError
from tests.checkpoint.conftest import (
    FOUR_FLOATS,
    WHERE,
    Opcodes,
    as_model,
    checkpoint_with,
    saved,
    small_network,
    torchscript_bytes,
)

RECORDS = {"0": len(FOUR_FLOATS), "1": len(FOUR_FLOATS)}
ONE_TENSOR = Opcodes.dict_of(Opcodes.tensor())


def _scanned(pickle_bytes: bytes) -> Any:
    return scan_pickle(pickle_bytes, RECORDS, WHERE)


class TestWhatTorchSaveWrites:
    def test_a_tensor_is_a_claim_on_its_storage(self) -> None:
        """Size, stride, offset and storage are found without loading anything."""
        claim = _scanned(ONE_TENSOR)["w"]
        assert (claim.dtype, claim.offset, claim.size, claim.stride) == ("float32", 0, (4,), (1,))
        assert (claim.storage.key, claim.storage.num_bytes) == ("0", 16)

    def test_the_hand_made_pickle_is_what_torch_reads(self) -> None:
        """The instructions that these tests are made of give the tensor that they should."""
        tensors = read_tensors(as_model(checkpoint_with(ONE_TENSOR))).tensors
        assert torch.equal(tensors["w"], torch.zeros(4))

    @pytest.mark.parametrize(
        "value",
        [
            {"epoch": 3, "loss": -0.5, "big": 2**70, "small": -1, "name": "тест", "none": None, "flags": [True, False]},
            {"nested": {"list": [1, [2, (3, 4, 5, 6), ()]], "more": {}}, 5: "five"},
            {"milestones": Counter({10: 1, 20: 2}), "order": OrderedDict(a=1), "pair": (1, 2)},
            {"bytes": b"\x00\xff", "complex": 1 - 2j, "size": torch.Size([1, 2])},
        ],
        ids=["scalars", "nested", "dicts", "calls"],
    )
    def test_plain_values_are_read_as_they_are(self, value: dict[str, Any]) -> None:
        """What people keep beside weights comes out as PyTorch itself reads it."""
        data = saved(value)
        place = data.index(b"\x80\x02")
        assert scan_pickle(data[place : data.index(b"PK\x07\x08", place)], {}, WHERE) == value

    def test_values_that_nothing_is_done_with_pass(self) -> None:
        """Devices, types of numbers and sets may stand beside the weights."""
        value = {"w": torch.ones(2), "device": torch.device("cuda", 1), "dtype": torch.int8, "set": {1, "a"}}
        assert list(read_tensors(as_model(saved(value))).tensors) == ["w"]

    def test_text_that_is_shared_is_read(self) -> None:
        """A value that is met twice is the same value, as pickle's memo has it."""
        shared = {"a": 1}
        assert read_tensors(as_model(saved({"x": shared, "y": shared, "w": torch.ones(1)}))).metadata == {
            "x": shared,
            "y": shared,
        }

    def test_every_name_that_may_be_called_has_a_call(self) -> None:
        """The list of names and the functions that stand for them are the same."""
        assert set(CALLS) == CALL_NAMES

    def test_the_width_of_every_type_is_that_of_pytorch(self) -> None:
        """A number takes as many bytes as PyTorch says."""
        assert {name: getattr(torch, name).itemsize for name in DTYPE_BYTES} == dict(DTYPE_BYTES)


class _Runs:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


class TestCodeOfStrangers:
    @pytest.mark.parametrize("name", ["model.pt", "model.ckpt", "model.onnx"])
    @pytest.mark.parametrize(
        "wrap", [lambda evil: evil, lambda evil: {"state_dict": {"w": torch.ones(1)}, "x": [evil]}]
    )
    def test_a_payload_is_refused_and_not_run(self, name: str, wrap: Any, tmp_path: Path) -> None:
        """A pickle that calls os.system is refused by any name, and what it would do is not done."""
        marker = tmp_path / "it_ran"
        (tmp_path / name).write_bytes(saved(wrap(_Runs(marker))))
        with pytest.raises(RefusedError, match=r"loading it would run code, it needs posix\.system"):
            read_model_file(tmp_path / name)
        with pytest.raises(RefusedError, match=r"posix\.system"):
            read_tensors(as_model((tmp_path / name).read_bytes()))
        assert not marker.exists()

    def test_the_payload_of_these_tests_works(self, tmp_path: Path) -> None:
        """Where it is unpickled without protection, it does what it should not."""
        marker = tmp_path / "it_ran"
        pickle.loads(pickle.dumps(_Runs(marker)))  # noqa: S301 - our own payload
        assert marker.exists()

    @pytest.mark.parametrize(
        "name",
        [
            *("builtins eval", "builtins exec", "__builtin__ getattr", "builtins __import__", "os system", "nt system"),
            *("torch load", "torch.serialization load", "torch.hub load", "torch.jit load", "torch._utils _rebuild"),
            *("torch._utils _rebuild_tensor_v2.__globals__", "torch._utils  _rebuild_tensor_v2", "torch  FloatStorage"),
            *("collections OrderedDict.__init__", "collections  OrderedDict", "collections._sys modules"),
            *("torch Tensor", "torch FloatTensor", "builtins bytearray", "torch.storage TypedStorage", "torch empty"),
            *("functools partial", "operator attrgetter", "numpy load", "numpy.core.multiarray _reconstruct"),
            *("codecs encode", "torch.serialization _maybe_decode_ascii", "torch.nn.parameter Parameter"),
        ],
    )
    def test_any_other_name_is_refused(self, name: str) -> None:
        """A name that is not on the list is refused, also one that looks like one that is or that PyTorch allows."""
        module, _, function = name.partition(" ")
        call = Opcodes.name(module, function) + Opcodes.text("x") + b"\x85R"
        with pytest.raises(RefusedError, match="loading it would run code, it needs"):
            _scanned(Opcodes.dict_of(call))

    @pytest.mark.parametrize("spelling", [r"Ordered\x44ict", r"\117rderedDict", "OrderedDict\\"])
    def test_a_name_that_is_spelt_with_escapes_is_refused(self, spelling: str) -> None:
        """Python's disassembler undoes escapes, and PyTorch does not: they would see two names."""
        with pytest.raises((InputError, RefusedError), match=r"with escapes|damaged"):
            _scanned(Opcodes.dict_of(Opcodes.name("collections", spelling) + b")R"))

    def test_a_name_that_the_process_has_registered_is_still_refused(self, tmp_path: Path) -> None:
        """What `add_safe_globals` lets PyTorch build is not built here."""
        marker = tmp_path / "it_ran"
        data = saved({"w": torch.ones(1), "x": _Runs(marker)})
        registered = torch.serialization.safe_globals([(os.system, "posix.system")])
        with registered, pytest.raises(RefusedError):
            read_tensors(as_model(data))
        assert not marker.exists()

    @pytest.mark.parametrize("protocol", [3, 4, 5])
    def test_other_protocols_name_what_they_need_too(self, protocol: int, tmp_path: Path) -> None:
        """Names that later protocols take from the stack are found."""
        marker = tmp_path / "it_ran"
        data = saved({"w": torch.ones(1), "x": _Runs(marker)}, pickle_protocol=protocol)
        with pytest.raises(RefusedError, match=r"needs .*posix\.system"):
            read_tensors(as_model(data))

    def test_a_later_protocol_is_told_from_an_attack(self) -> None:
        """Weights in another protocol are no danger, but PyTorch does not read them safely."""
        with pytest.raises(InputError, match="protocol 4; save it again without `pickle_protocol`"):
            _scanned(Opcodes.START.replace(b"\2", b"\4") + b"}.")

    def test_names_are_printed_without_their_control_characters(self) -> None:
        """A foreign name cannot colour or clear the terminal."""
        with pytest.raises(RefusedError) as caught:
            _scanned(Opcodes.dict_of(Opcodes.name("os\x1b[2J", "system")))
        assert "\x1b" not in str(caught.value)
        assert "os" in str(caught.value)


class _OfTheirOwn(dict):
    """A class of somebody's own, as training frameworks put beside weights."""


class TestRecipes:
    def test_a_whole_module_is_refused_with_the_way_to_save_it(self) -> None:
        """The message names what the pickle needs, and what its author can do."""
        with pytest.raises(RefusedError) as caught:
            read_tensors(as_model(saved(small_network())))
        assert "torch.nn.modules.container.Sequential, torch.nn.modules.conv.Conv1d" in str(caught.value)
        assert '`torch.save(model.state_dict(), "weights.pt")`, or export the model to ONNX' in str(caught.value)

    def test_a_lightning_checkpoint_with_foreign_classes_is_refused_with_its_recipe(self, tmp_path: Path) -> None:
        """The recipe is for the author, on the machine that made it, and names the file."""
        own = _OfTheirOwn(rate=0.1)
        path = tmp_path / "x.ckpt"
        path.write_bytes(saved({"state_dict": small_network().state_dict(), "hyper_parameters": own}))
        with pytest.raises(RefusedError) as caught:
            read_model_file(path)
        recipe = 'torch.save({k: v for k, v in torch.load("x.ckpt", weights_only=False)["state_dict"].items()}, "weights.pt")'
        assert f"its author, on the machine that made it, can save the weights alone: `{recipe}`" in str(caught.value)
        assert "_OfTheirOwn" in str(caught.value)

    def test_the_recipe_works(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the message says makes a file that is read."""
        monkeypatch.chdir(tmp_path)
        Path("x.ckpt").write_bytes(saved({"state_dict": small_network().state_dict(), "own": _OfTheirOwn()}))
        with pytest.raises(RefusedError) as caught:
            read_model_file(Path("x.ckpt"))
        exec(str(caught.value).split("`")[1])  # noqa: S102 - our own message, on our own file
        assert len(read_tensors(read_model_file(Path("weights.pt"))).tensors) == 9


def _bad_tensor(**parts: bytes) -> bytes:
    return Opcodes.dict_of(Opcodes.tensor(**parts))


def _quantised(size: int, scheme: bytes) -> bytes:
    storage = Opcodes.storage(count=16, kind="QInt8Storage")
    shape = Opcodes.number(0) + Opcodes.numbers(size) + Opcodes.numbers(0)
    function = Opcodes.name("torch._utils", "_rebuild_qtensor")
    return Opcodes.dict_of(function + b"(" + storage + shape + scheme + b"\x89" + Opcodes.EMPTY_HOOKS + b"tR")


PER_TENSOR = b"(" + Opcodes.name("torch", "per_tensor_affine") + b"G" + struct.pack(">d", 0.5) + b"K\0t"
SCALES = Opcodes.tensor(storage=Opcodes.storage(Opcodes.text("1")))
PER_CHANNEL = b"(" + Opcodes.name("torch", "per_channel_affine") + SCALES + SCALES + b"K\0t"
HUGE = 10**12
NO_HOOKS = Opcodes.name("collections", "OrderedDict") + b")R" + Opcodes.text("a") + b"Ns"
NOT_STORAGES = {
    "a text": Opcodes.text("storage") + b"Q",
    "four parts": b"(" + Opcodes.text("storage") + b"NNNtQ",
    "another kind": b"(" + Opcodes.text("module") + Opcodes.name("torch", "FloatStorage") + b"NNNtQ",
    "another kind of a good storage": Opcodes.storage().replace(b"storage", b"modules"),
    "no location": Opcodes.storage().replace(Opcodes.text("cpu"), b"N"),
    "a count that is no integer": Opcodes.storage().replace(Opcodes.number(4), b"G" + struct.pack(">d", 4.0)),
    "no type": b"(" + Opcodes.text("storage") + b"NNNNtQ",
    "a record that is not there": Opcodes.storage(Opcodes.text("2")),
    "a path": Opcodes.storage(Opcodes.text("../data.pkl")),
    "a number as its key": Opcodes.storage(Opcodes.number(0)),
    "a storage of storages": Opcodes.storage(Opcodes.storage()),
    "fewer numbers": Opcodes.storage(count=3),
    "more numbers": Opcodes.storage(count=HUGE),
    "fewer than none": Opcodes.storage(count=-1),
    "a type that is no storage": Opcodes.storage(kind="Size"),
    "two types for one record": Opcodes.storage() + Opcodes.storage(kind="IntStorage") + b"\x86",
}
BAD_TENSORS = {
    "one number too many": {"size": Opcodes.numbers(5)},
    "one step too far": {"stride": Opcodes.numbers(2)},
    "begins outside": {"offset": Opcodes.number(1)},
    "begins before": {"offset": Opcodes.number(-1)},
    "a negative size": {"size": Opcodes.numbers(-1)},
    "a negative stride": {"stride": Opcodes.numbers(-1)},
    "10^12 numbers": {"size": Opcodes.numbers(HUGE)},
    "more numbers than can be counted": {
        "size": Opcodes.numbers(HUGE, HUGE),
        "stride": Opcodes.numbers(0, 0),
    },
    "the same beside none": {"size": Opcodes.numbers(0, HUGE, HUGE), "stride": Opcodes.numbers(0, 0, 0)},
    "a size too large for PyTorch": {"size": Opcodes.numbers(0, 2**63), "stride": Opcodes.numbers(0, 0)},
    "a stride too few": {"stride": b")"},
    "a size that is no number": {"size": b"(Nt"},
    "a list for a size": {"size": b"]"},
    "no storage": {"storage": b"N"},
    "a tensor for a storage": {"storage": Opcodes.tensor()},
    "a gradient that is no flag": {"requires_grad": b"N"},
    "hooks": {"hooks": NO_HOOKS},
    "a list of hooks": {"hooks": b"]"},
    "unknown metadata": {"metadata": b"}" + Opcodes.text("a") + b"\x88s"},
    "metadata that is none": {"metadata": b"]"},
    "too many arguments": {"metadata": b"NN"},
    "65 dimensions": {"size": Opcodes.numbers(*[1] * 65), "stride": Opcodes.numbers(*[1] * 65)},
}
DEEP = Opcodes.START + b"]" * 40 + b"a" * 39 + b"."
LAUGHS = Opcodes.START + b"(]q\0" + b"".join(b"](" + b"h\0" * 10 + b"eq\0" for _ in range(9)) + b"t."
OTHER_PICKLES = {
    "an instance": Opcodes.dict_of(Opcodes.name("collections", "OrderedDict") + b")\x81"),
    "an old instance": Opcodes.dict_of(b"(icollections\nOrderedDict\n"),
    "an instance of its arguments": Opcodes.dict_of(b"(" + Opcodes.name("collections", "OrderedDict") + b"o"),
    "an extension": Opcodes.dict_of(b"\x82\x01"),
    "a copy": Opcodes.dict_of(b"N2"),
    "nothing dropped": Opcodes.dict_of(b"NN0"),
    "a persistent id as text": Opcodes.dict_of(b"Pstorage\n"),
    "an integer as text": Opcodes.dict_of(b"I1\n"),
    "a long integer of four bytes length": Opcodes.dict_of(b"\x8b\x01\0\0\0\1"),
    "a set": Opcodes.dict_of(b"\x8f"),
    "a byte array": Opcodes.dict_of(b"\x96\x01" + bytes(7) + b"x"),
    "a buffer from outside": Opcodes.dict_of(b"\x97"),
    "a call of a value": Opcodes.dict_of(b"N)R"),
    "a call of a tensor": Opcodes.dict_of(Opcodes.tensor() + b")R"),
    "a call of a storage type": Opcodes.dict_of(Opcodes.name("torch", "FloatStorage") + b")R"),
    "a call of a type of numbers": Opcodes.dict_of(Opcodes.name("torch", "float32") + b")R"),
    "a call without arguments": Opcodes.dict_of(Opcodes.name("collections", "OrderedDict") + b"]R"),
    "a Counter of a text": Opcodes.dict_of(Opcodes.name("collections", "Counter") + Opcodes.text("text") + b"\x85R"),
    "a size of texts": Opcodes.dict_of(Opcodes.name("torch", "Size") + Opcodes.text("x") + b"\x85\x85R"),
    "a complex number of integers": Opcodes.dict_of(Opcodes.name("__builtin__", "complex") + b"K\1K\1\x86R"),
    "an OrderedDict of a view of 10^12": Opcodes.dict_of(
        Opcodes.name("collections", "OrderedDict") + Opcodes.tensor((HUGE,), (0,)) + b"\x85R"
    ),
    "a Counter of a view of 10^12": Opcodes.dict_of(
        Opcodes.name("collections", "Counter") + Opcodes.tensor((HUGE,), (0,)) + b"\x85R"
    ),
    "a size of a view": Opcodes.dict_of(Opcodes.name("torch", "Size") + Opcodes.tensor() + b"\x85R"),
    "a set of tuples": Opcodes.dict_of(Opcodes.name("__builtin__", "set") + b"])a\x85R"),
    "an encoding of another kind": Opcodes.dict_of(
        Opcodes.name("_codecs", "encode") + Opcodes.text("x") + Opcodes.text("zlib") + b"\x86R"
    ),
    "a device with a path": Opcodes.dict_of(Opcodes.name("torch", "device") + Opcodes.text("a/b") + b"\x85R"),
    "a complex number of tensors": Opcodes.dict_of(
        Opcodes.name("__builtin__", "complex") + Opcodes.tensor() + Opcodes.tensor() + b"\x86R"
    ),
    "an attribute named like a method": Opcodes.dict_of(
        Opcodes.EMPTY_HOOKS + b"}" + Opcodes.text("items") + Opcodes.text("x") + b"sb"
    ),
    "an attribute of a tensor": Opcodes.dict_of(Opcodes.tensor() + b"}b"),
    "an attribute of a dict": Opcodes.dict_of(b"}}b"),
    "a key that is a tuple": Opcodes.dict_of(b"N", key=b")"),
    "a key that is a huge integer": Opcodes.dict_of(b"N", key=Opcodes.number(2**61 - 1)),
    "a key that is a tensor": Opcodes.dict_of(b"N", key=Opcodes.tensor()),
    "a key without a value": Opcodes.START + b"}(" + Opcodes.text("a") + b"N" + Opcodes.text("b") + b"u.",
    "half a surrogate pair": Opcodes.dict_of(Opcodes.text("\ud800")),
    "appending to a dict": Opcodes.START + b"}Na.",
    "an item of a list": Opcodes.START + b"]K\0Ns.",
    "two values": Opcodes.START + b"NN.",
    "no value": Opcodes.START + b".",
    "a mark that stays": Opcodes.START + b"(N.",
    "no mark": Opcodes.START + b"t.",
    "nothing on the stack": Opcodes.START + b"a.",
    "nothing in the memo": Opcodes.START + b"h\0.",
    "a protocol in the middle": Opcodes.START + b"N" + Opcodes.START + b".",
    "an earlier protocol": b"\x80\x01N.",
    "an end before the end": Opcodes.START + b"N.N.",
    "a payload behind the end": Opcodes.START + b"N.cos\nsystem\n.",
    "a gradient of integers": Opcodes.dict_of(
        Opcodes.name("torch._utils", "_rebuild_parameter")
        + b"("
        + Opcodes.tensor(storage=Opcodes.storage(kind="IntStorage"))
        + b"\x88"
        + Opcodes.EMPTY_HOOKS
        + b"tR"
    ),
    "a parameter of nothing": Opcodes.dict_of(
        Opcodes.name("torch._utils", "_rebuild_parameter") + b"(N\x88" + Opcodes.EMPTY_HOOKS + b"tR"
    ),
    "40 levels": DEEP,
    "a list in itself": Opcodes.START + b"]q\0h\0a.",
    "a billion laughs": LAUGHS,
    "a quantised view of 10^12": _quantised(HUGE, PER_TENSOR),
    "quantised by nothing": _quantised(16, b")"),
    "quantised by texts": _quantised(16, PER_TENSOR.replace(b"K\0", b"N")),
    "quantised by too few scales": _quantised(16, PER_CHANNEL),
    "quantised along no axis": _quantised(4, PER_CHANNEL.replace(b"K\0t", b"K\1t")),
    **{f"a storage that is {kind}": Opcodes.dict_of(code) for kind, code in NOT_STORAGES.items()},
    **{f"a tensor with {kind}": _bad_tensor(**parts) for kind, parts in BAD_TENSORS.items()},
}


class TestOtherPickles:
    @pytest.mark.parametrize("kind", OTHER_PICKLES)
    def test_what_torch_save_does_not_write_is_refused(self, kind: str) -> None:
        """Instructions, arguments and shapes that no honest checkpoint has are refused before PyTorch sees them."""
        with pytest.raises(RefusedError, match=r"model\.pt: (its|the) pickle"):
            _scanned(OTHER_PICKLES[kind])

    @pytest.mark.parametrize("size", [(HUGE,), (HUGE, 2**20), (2, 2)], ids=["10^12", "10^18", "four that are two"])
    def test_a_view_that_repeats_numbers_is_no_danger(self, size: tuple[int, ...]) -> None:
        """However large its shape, a view inside its storage passes, and allocates nothing when it is read."""
        stride = (0,) * len(size)
        tensor = read_tensors(
            as_model(checkpoint_with(_bad_tensor(size=Opcodes.numbers(*size), stride=Opcodes.numbers(*stride))))
        )
        assert tuple(tensor.tensors["w"].shape) == size
        assert tensor.tensors["w"].untyped_storage().nbytes() == 16

    def test_a_pickle_that_is_too_long_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A pickle has a size limit, and a limit of instructions."""
        monkeypatch.setattr(pickles, "_MAX_PICKLE_BYTES", len(ONE_TENSOR) - 1)
        with pytest.raises(RefusedError, match="expected at most"):
            _scanned(ONE_TENSOR)
        monkeypatch.setattr(pickles, "_MAX_PICKLE_BYTES", 1 << 20)
        monkeypatch.setattr(pickles, "_MAX_INSTRUCTIONS", 10)
        with pytest.raises(RefusedError, match="over 10 instructions"):
            _scanned(ONE_TENSOR)

    def test_every_shortened_pickle_is_one_error(self) -> None:
        """A pickle that ends anywhere is damaged or refused, never a traceback."""
        for size in range(len(ONE_TENSOR)):
            with pytest.raises(KwsbenchError):
                _scanned(ONE_TENSOR[:size])

    def test_every_changed_byte_gives_an_answer(self) -> None:
        """A pickle with any one byte changed is refused, damaged, or read as another checkpoint."""
        for place in range(len(ONE_TENSOR)):
            for byte in (0, ord("."), ord("R"), ord("c"), 0xFF, ONE_TENSOR[place] ^ 1):
                changed = ONE_TENSOR[:place] + bytes([byte]) + ONE_TENSOR[place + 1 :]
                with contextlib.suppress(KwsbenchError):
                    read_tensors(as_model(checkpoint_with(changed)))


class TestUnreadableTensors:
    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (lambda: torch.eye(3).to_sparse(), "a sparse tensor; save `tensor.to_dense()`"),
            (lambda: torch.empty(3, device="meta"), "a tensor on the meta device"),
            (lambda: nn.Parameter(torch.ones(2)), ""),
        ],
        ids=["sparse", "meta", "dense"],
    )
    def test_a_kind_of_tensor_that_is_not_read_says_so(self, make: Any, says: str) -> None:
        """Tensors without plain storage are refused with what to save instead; parameters are read."""
        data = saved({"w": make()})
        if not says:
            assert not read_tensors(as_model(data)).tensors["w"].requires_grad
            return
        with pytest.raises(InputError, match=says.replace("(", r"\(").replace(")", r"\)")):
            read_tensors(as_model(data))

    def test_a_parameter_with_attributes_says_so(self) -> None:
        """An attribute of a parameter could be anything; the message says how to leave it out."""
        weight = nn.Parameter(torch.ones(2))
        weight.own = 1  # type: ignore[attr-defined]
        with pytest.raises(InputError, match=r"with attributes of its own; save `tensor\.detach"):
            read_tensors(as_model(saved({"w": weight})))

    @pytest.mark.parametrize("name", ["int4", "uint7", "float4_e2m1fn_x2", "bits1x8"])
    def test_numbers_narrower_than_a_byte_say_so(self, name: str) -> None:
        """A type that packs several numbers in a byte is named, and no danger."""
        with pytest.raises(InputError, match=f"numbers of the type {name}"):
            _scanned(Opcodes.dict_of(Opcodes.name("torch", name)))

    def test_torchscript_is_never_taken_for_weights(self) -> None:
        """A program's pickle is refused where tensors are read."""
        with pytest.raises(RefusedError, match="loading it would run code"):
            read_tensors(as_model(torchscript_bytes()))

    def test_a_claim_is_frozen(self) -> None:
        """What was checked cannot change afterwards."""
        claim = _scanned(ONE_TENSOR)["w"]
        assert isinstance(claim, TensorClaim)
        with pytest.raises(AttributeError):
            claim.offset = 5

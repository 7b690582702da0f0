"""`kwsbench check-budget` on programs of strangers: whatever they try, one message, and nothing outside is touched."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from kwsbench.checkpoint import model_file
from tests.checkpoints import checkpoint_of, write_checkpoint
from tests.sandboxed import needs_sandbox

if TYPE_CHECKING:
    from conftest import CommandLine

SHAPE = ("--input-shape", "1,8,20")
PATIENCE_S = 60


class Leaves:
    """Its pickle makes a file when it is loaded, and touches nothing else."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (self.marker, "w")


def _exported(network: nn.Module) -> dict[str, bytes]:
    """The entries of a `.pt2` archive of a network for input of shape (1, 8, 20)."""
    packed = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network.eval(), (torch.zeros(1, 8, 20),)), packed)
    with zipfile.ZipFile(packed) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write(path: Path, entries: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


class Mean(nn.Module):
    """The mean over time, times 16 numbers, plus a constant that is no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 2))
        self.shift = torch.tensor([1.0, 2.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return x.mean(-1) @ self.weight + self.shift


@needs_sandbox
@pytest.mark.parametrize(
    "part", ["models/model.json", "weights/model_weights_config.json", "constants/model_constants_config.json"]
)
def test_a_payload_in_any_part_of_an_exported_program_is_one_error(part: str, kws: CommandLine, tmp_path: Path) -> None:
    """A `.pt2` whose JSON is a pickle is an error of the file, and the pickle leaves no trace."""
    marker = tmp_path / "ran"
    entries = _exported(Mean())
    (name,) = [name for name in entries if name.endswith(part)]
    _write(kws.folder / "model.pt2", {**entries, name: pickle.dumps(Leaves(marker))})
    kws.fails(2, "check-budget", "model.pt2", *SHAPE, says=["torch cannot read model.pt2 as pt2"])
    assert not marker.exists()


@needs_sandbox
def test_weights_and_constants_that_are_said_to_be_pickles_reach_nothing(kws: CommandLine, tmp_path: Path) -> None:
    """Where the archive itself asks PyTorch to unpickle its weights, there is no trace outside the sandbox."""
    marker = tmp_path / "ran"
    entries = _exported(Mean())
    payload = io.BytesIO()
    torch.save(Leaves(marker), payload)
    for name, content in entries.items():
        if name.endswith("_config.json"):
            config = json.loads(content)
            for stored in config["config"].values():
                stored["use_pickle"] = True
            entries[name] = json.dumps(config).encode()
        elif "/weights/weight_" in name or "/constants/tensor_" in name:
            entries[name] = payload.getvalue()
    assert b'"use_pickle": true' in b"".join(entries.values())
    _write(kws.folder / "model.pt2", entries)
    ran = kws("check-budget", "model.pt2", *SHAPE)
    kws.check_failure(ran, ran.code)
    assert ran.code in {2, 3}
    assert not marker.exists()


def _bomb(num_bytes: int) -> bytes:
    """Sample inputs, one tensor of that many zeros, of which every 1,000 bytes are packed into one."""
    block = 1 << 24
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = deflate.compress(bytes(block)) + deflate.flush(zlib.Z_FULL_FLUSH)
    packed = piece * (num_bytes // block) + zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
    honest = io.BytesIO()
    torch.save(((torch.zeros(1),), {}), honest)
    with zipfile.ZipFile(honest) as archive:
        (root,) = {name.partition("/")[0] for name in archive.namelist()}
        data = archive.read(f"{root}/data.pkl")
    return _zip_of(
        root, data.replace(b"K\x01", b"\x8a\x05" + (num_bytes // 4).to_bytes(5, "little"), 2), packed, num_bytes
    )


def _zip_of(root: str, pickled: bytes, packed: bytes, num_bytes: int) -> bytes:
    from tests.checkpoint.conftest import Packed, zip_bytes

    class Bomb(Packed):
        def packed(self) -> bytes:
            return packed

    says = {"size": num_bytes, "crc": 0}
    entries = (Packed(f"{root}/data.pkl".encode(), pickled), Packed(f"{root}/version".encode(), b"3\n"))
    return zip_bytes(*entries, Bomb(f"{root}/data/0".encode(), b"", method=8, local=says, central=says))


@needs_sandbox
def test_a_bomb_inside_an_exported_program_meets_the_limit_on_memory(kws: CommandLine) -> None:
    """Sample inputs of 3 MB that unpack to 2.5 GiB take no more than the sandbox may, and there is one message."""
    entries = _exported(Mean())
    (name,) = [name for name in entries if name.endswith("sample_inputs/model.pt")]
    _write(kws.folder / "model.pt2", {**entries, name: _bomb(5 << 29)})
    assert (kws.folder / "model.pt2").stat().st_size < 8 << 20
    ran = kws("check-budget", "model.pt2", *SHAPE)
    kws.check_failure(ran, ran.code)
    assert ran.code in {2, 3}


class SavesWhenLoaded(nn.Module):
    """Writes to a new file as soon as it is loaded, and again when it is called."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path: str = path

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path, self.training = state
        torch.save(torch.ones(4), self.path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        torch.save(x, self.path)
        return x.sum(-1)


@needs_sandbox
def test_torchscript_that_writes_when_it_is_loaded_writes_nowhere(kws: CommandLine, tmp_path: Path) -> None:
    """TorchScript that saves a tensor under a path of the user, which works here, leaves nothing from the sandbox."""
    marker = tmp_path / "made by a model"
    jit: Any = torch.jit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jit.script(SavesWhenLoaded(str(marker)).eval()).save(str(kws.folder / "model.pt"))
        jit.load(str(kws.folder / "model.pt"))
    marker.unlink()  # it was there
    ran = kws("check-budget", "model.pt", *SHAPE)
    assert "Traceback" not in ran.err
    assert not marker.exists()


DEFINITIONS = {
    "exits": ("import os\ndef Net(): os._exit(0)\n", 2, "ended the program that ran it"),
    "leaves": ("import sys\ndef Net(): sys.exit(0)\n", 2, "SystemExit"),
    "asks": ("def Net(): return input('your password?')\n", 2, "EOFError"),
    "takes all": ("import torch\ndef Net(): return torch.nn.Linear(10**6, 10**6)\n", 3, "GiB of memory"),
    "floods": ("def Net(): raise ValueError('boo\\n' * 10**6)\n", 2, "boo boo"),
}


@needs_sandbox
@pytest.mark.parametrize("kind", DEFINITIONS)
def test_a_definition_that_misbehaves_is_one_short_error(kind: str, kws: CommandLine) -> None:
    """Leaving, asking, taking all memory and endless messages are one message, without a word on stdout."""
    text, code, says = DEFINITIONS[kind]
    (kws.folder / "net.py").write_text(text)
    torch.save({"weight": torch.ones(8, 2)}, kws.folder / "weights.pt")
    words = ("check-budget", "weights.pt", "--arch", "net.py:Net", *SHAPE, "--json")
    ran = kws.fails(code, *words, says=[says], stdin=subprocess.DEVNULL)
    assert len(ran.err) < 3_000


def test_a_checkpoint_with_an_absurd_header_is_one_error(kws: CommandLine) -> None:
    """A checkpoint that asks for a gigabyte of mel bands, or for a network of 10^9 channels, is bad input."""
    checkpoint = checkpoint_of("conv1d_sber")
    fields = json.loads(checkpoint.header.model_dump_json()) | {"state_dict": checkpoint.state_dict}
    torch.save({**fields, "config": {**fields["config"], "channels": 10**9}}, kws.folder / "wide.pt")
    kws.fails(2, "check-budget", "wide.pt", says=["setting channels: found 1000000000", "from 1 to 512"])
    larger = {**fields["front_end"], "n_fft": 65_536, "num_mels": 1_024}
    torch.save({**fields, "front_end": larger, "clip_samples": 100_000}, kws.folder / "large.pt")
    kws.fails(2, "check-budget", "large.pt", says=["the header of large.pt", "front_end.n_fft"])


def test_a_model_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is exchanged after it was recognised is counted as what it was when it was recognised."""
    from kwsbench.budget.check import check_budget
    from kwsbench.budget.question import Question

    path = write_checkpoint(tmp_path / "model.pt")
    expected = check_budget(path, Question())
    read = model_file.read_model_bytes

    def read_and_exchange(name: Path) -> bytes:
        data = read(name)
        path.write_bytes(b"another file")
        return data

    monkeypatch.setattr(model_file, "read_model_bytes", read_and_exchange)
    found = check_budget(path, Question())
    assert path.read_bytes() == b"another file"
    assert (found.sha256, found.params, found.macs) == (expected.sha256, expected.params, expected.macs)


def _children(parent: int) -> list[int]:
    """The processes that a process has started, theirs included."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == parent:
            number = int(status.parent.name)
            found += [number, *_children(number)]
    return found


@needs_sandbox
def test_an_interrupt_leaves_nothing_of_the_sandbox(kws: CommandLine) -> None:
    """Ctrl-C while a stranger's definition sleeps ends in 130 with one line, and no child is left."""
    (kws.folder / "net.py").write_text("import time\ndef Net(): time.sleep(10**6)\n")
    torch.save({"weight": torch.ones(8, 2)}, kws.folder / "weights.pt")
    before = kws.files()
    words = ("check-budget", "weights.pt", "--arch", "net.py:Net", *SHAPE)
    process = kws.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE_S
    while len(children := _children(process.pid)) < 2:  # bubblewrap, and what it keeps inside
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (130, b"")
    assert err.startswith(b"Error: interrupted")
    while any(Path(f"/proc/{child}/root").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert kws.files() == before
    assert os.listdir(kws.folder)  # noqa: PTH208

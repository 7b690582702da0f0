"""Tests of `kwsbench.checkpoint.model_file`: what is read, how often, and what is not even opened."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kwsbench.checkpoint import model_file
from kwsbench.checkpoint.model_file import Format, read_model_bytes, read_model_file
from kwsbench.errors import InputError
from tests.checkpoint.conftest import saved, small_network
from tests.memory import takes_at_most


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file with the small network's weights."""
    path = tmp_path / "weights.pt"
    path.write_bytes(saved(small_network().state_dict()))
    return path


def test_a_file_is_its_bytes_their_hash_and_their_format(weights: Path) -> None:
    """The bytes, their SHA-256 and their format are those of the file."""
    model = read_model_file(weights)
    assert model.data == weights.read_bytes()
    assert model.sha256 == hashlib.sha256(model.data).hexdigest()
    assert (model.path, model.format) == (weights, Format.STATE_DICT)
    assert len(repr(model)) < 1_000


def test_a_link_leads_to_its_file(weights: Path) -> None:
    """A link to a regular file is read like the file."""
    link = weights.with_name("link.pt")
    link.symlink_to(weights)
    assert read_model_file(link).data == weights.read_bytes()


def test_no_torch_is_loaded() -> None:
    """Reading and recognising a checkpoint needs neither PyTorch nor any other library of models."""
    code = "import sys, kwsbench.checkpoint.model_file as m, kwsbench.checkpoint.lightgbm; print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not [name for name in ("torch", "onnx", "lightgbm", "safetensors") if f"'{name}'" in modules]


def test_recognising_a_checkpoint_loads_no_torch(weights: Path) -> None:
    """Not even telling a Lightning checkpoint from a state_dict needs PyTorch."""
    code = (
        "import sys; from pathlib import Path; from kwsbench.checkpoint.model_file import read_model_file;"
        "print(read_model_file(Path(sys.argv[1])).format, 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, weights], capture_output=True, text=True, check=True)
    assert ran.stdout == "state_dict False\n"


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Path.mkdir, "it is a folder"),
        (_pipe, "it is a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
        (lambda path: path.symlink_to("/dev/null"), "it is a device"),
        (lambda path: path.symlink_to("nowhere"), "no such file or directory"),
        (lambda path: path.symlink_to(path.name), "too many levels of symbolic links"),
        (lambda _: None, "no such file or directory"),
    ],
    ids=["folder", "pipe", "/dev/zero", "/dev/null", "broken link", "link to itself", "missing"],
)
def test_only_regular_files_are_read(make: Callable[[Path], None], says: str, tmp_path: Path) -> None:
    """What is no regular file is refused at once, with what it is."""
    make(tmp_path / "model.pt")
    with pytest.raises(InputError, match=f"cannot read the model .*model.pt: {says}"):
        read_model_file(tmp_path / "model.pt")


def test_a_socket_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket is refused by its name."""
    monkeypatch.chdir(tmp_path)  # their paths may not be long
    _socket(Path("model.pt"))
    with pytest.raises(InputError, match="it is a socket"):
        read_model_file(Path("model.pt"))


@pytest.mark.parametrize("name", ["a\0b", "x" * 5_000])
def test_a_name_that_no_file_can_have_is_one_message(name: str) -> None:
    """A path that the system does not take is an input error."""
    with pytest.raises(InputError, match="cannot read the model"):
        read_model_file(Path(name))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(weights: Path) -> None:
    """Missing permission is named."""
    weights.chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        read_model_file(weights)


@pytest.mark.parametrize("replacement", [_pipe, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_a_file_that_is_exchanged_before_it_is_opened_is_not_read(
    replacement: Callable[[Path], None], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is opened is looked at again; a pipe that took the file's place does not make the program wait."""
    info = weights.stat()
    weights.unlink()
    replacement(weights)
    monkeypatch.setattr(Path, "stat", lambda _: info)
    with pytest.raises(InputError, match=r"it is a (pipe|device)"):
        read_model_file(weights)


def test_devices_are_not_even_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening some devices does something already."""
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opened"))
    with pytest.raises(InputError, match="it is a device"):
        read_model_file(Path("/dev/zero"))


def test_10_gb_are_refused_without_reading_them(tmp_path: Path) -> None:
    """A file over the limit is refused by its size."""
    path = tmp_path / "huge.pt"
    with path.open("wb") as handle:
        handle.truncate(10 << 30)
    says = "it has 10,737,418,240 bytes, expected at most 536,870,912"
    with takes_at_most(1_000_000), pytest.raises(InputError, match=says):
        read_model_file(path)


def _grow(path: Path) -> None:
    with path.open("ab") as handle:
        handle.write(b"more")


def _shrink(path: Path) -> None:
    os.truncate(path, 10)


def _rewrite(path: Path) -> None:
    data, info = path.read_bytes(), path.stat()
    path.write_bytes(data[::-1])
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + 1_000))


@pytest.mark.parametrize("moment", ["before reading", "after reading"])
@pytest.mark.parametrize("change", [_grow, _shrink, _rewrite], ids=["grows", "shrinks", "is written again"])
def test_a_file_that_changes_while_it_is_read_is_not_used(
    change: Callable[[Path], None], moment: str, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that a training run is still writing is no model, whenever the change comes."""
    real = model_file._read_up_to

    def reading(handle: object, num_bytes: int) -> bytes:
        if moment == "before reading":
            change(weights)
        data = real(handle, num_bytes)  # type: ignore[arg-type]
        if moment == "after reading":
            change(weights)
        return data

    monkeypatch.setattr(model_file, "_read_up_to", reading)
    with pytest.raises(InputError, match="it changed while it was read; try again when it is complete"):
        read_model_file(weights)


def test_a_file_that_is_replaced_while_it_is_read_stays_what_it_was(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One descriptor is read: a file of the same name that comes later is another file."""
    data = weights.read_bytes()
    real = model_file._read_up_to

    def reading(handle: object, num_bytes: int) -> bytes:
        weights.unlink()
        weights.write_bytes(b"another")
        return real(handle, num_bytes)  # type: ignore[arg-type]

    monkeypatch.setattr(model_file, "_read_up_to", reading)
    assert read_model_bytes(weights) == data


def test_a_file_that_gives_more_than_its_size_is_not_used() -> None:
    """Files of the kernel have no size and never end."""
    path = Path("/proc/self/status")
    assert stat.S_ISREG(path.stat().st_mode)
    with pytest.raises(InputError, match="it changed while it was read"):
        read_model_file(path)


def test_short_reads_are_put_together(weights: Path) -> None:
    """A read that gives less than asked for is followed by the next one."""

    class _Slow:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def read(self, num_bytes: int) -> bytes:
            piece, self.data = self.data[: min(num_bytes, 7)], self.data[min(num_bytes, 7) :]
            return piece

    data = weights.read_bytes()
    assert model_file._read_up_to(_Slow(data), len(data) + 1) == data  # type: ignore[arg-type]
    assert model_file._read_up_to(_Slow(data), 20) == data[:20]  # type: ignore[arg-type]

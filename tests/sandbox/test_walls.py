"""What can be seen and reached from inside: Python, kwsbench and what was handed over, and nothing else."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import site
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import kwsbench
from kwsbench.errors import InputError
from kwsbench.sandbox import Limits, confine
from tests.sandbox.conftest import TASKS, InSandbox
from tests.sandboxed import needs_sandbox

pytestmark = needs_sandbox

PACKAGE = Path(kwsbench.__file__).parent
PREFIX_PARTS = ("bin", "lib", "lib64", "pyvenv.cfg")

_CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=5)"
_KILL = "import os, sys; os.kill(int(sys.argv[1]), 0)"


def _inside_walls(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code behind the walls alone, without the limits and the filter of system calls."""
    bwrap = shutil.which("bwrap")
    assert bwrap is not None
    command = confine.command(["-I", "-c", code, *arguments], bwrap=bwrap, tmp_bytes=1 << 20)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _meant_to_be_seen() -> set[str]:
    prefixes = {sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix)}
    python = {os.path.join(prefix, part) for prefix in prefixes for part in PREFIX_PARTS}  # noqa: PTH118
    system = {"/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"}
    devices = {"/dev/null", "/dev/urandom", "/proc/cpuinfo", "/sys/devices/system/cpu"}
    own = {str(PACKAGE), str(PACKAGE.parent / "baselines"), str(TASKS), "/job/model.pt"}
    return python | system | devices | own


def test_nothing_is_seen_but_python_and_what_was_handed_over(in_sandbox: InSandbox) -> None:
    """A walk over the whole disk, Python and kwsbench left out, finds no file."""
    reply = in_sandbox("hostile:walk", {"leave_out": sorted(_meant_to_be_seen())}, files={"model.pt": b"x"})
    assert reply.record == {"files": []}


def test_what_is_private_cannot_be_read(in_sandbox: InSandbox, tmp_path: Path) -> None:
    """The user's files, the accounts of the machine, and the rest of the checkout are not there."""
    private = tmp_path / "private.txt"
    private.write_text("private", encoding="utf-8")
    paths = [
        str(private),
        "/etc/passwd",
        "/etc/hostname",
        "/proc/self/environ",
        "/proc/1/environ",
        "/var",
        "/run",
        "/sys",
    ]
    paths += [str(PACKAGE.parent / name) for name in ("pyproject.toml", "README.md", "data_manifests", ".git")]
    answers = in_sandbox("hostile:read", {"paths": paths}).record
    del answers["/sys"]
    assert answers == dict.fromkeys(answers, errno.ENOENT)


def test_the_users_environment_stays_outside(in_sandbox: InSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the parent do not come in."""
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    environment = in_sandbox("friendly:environment").record
    assert "SECRET_TOKEN" not in environment
    assert environment["HOME"] == "/tmp"  # noqa: S108


def test_the_network_is_absent() -> None:
    """A server on this machine that answers outside cannot be reached from inside, even without the filter."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        outside = subprocess.run([sys.executable, "-c", _CONNECT, port], check=False)
        inside = _inside_walls(_CONNECT, port)
    assert outside.returncode == 0
    assert "ConnectionRefusedError" in inside.stderr or "OSError" in inside.stderr


def test_other_processes_are_out_of_reach() -> None:
    """The number of a process outside means nothing inside."""
    assert "ProcessLookupError" in _inside_walls(_KILL, str(os.getpid())).stderr


def test_there_are_no_capabilities_and_no_user() -> None:
    """Inside one is nobody, and cannot mount even what one owns."""
    result = _inside_walls("import os; print(os.getuid(), os.getgid(), os.uname().nodename); os.chroot('/tmp')")
    assert result.stdout == "65534 65534 sandbox\n"
    assert "PermissionError" in result.stderr


def test_nothing_outside_can_be_written(in_sandbox: InSandbox) -> None:
    """Python, kwsbench and handed-over files cannot be opened for writing, and nothing new can be made beside them."""
    there = [str(PACKAGE / "errors.py"), site.__file__, "/etc/ld.so.cache"]
    name = f"kwsbench-{secrets.token_hex(8)}"
    python = [str(Path(prefix, part)) for prefix in (sys.prefix, sys.base_prefix) for part in ("", "lib", "bin")]
    places = ["", "/usr", "/usr/lib", "/job", "/dev", "/etc", "/proc", "/sys", "/sys/devices/system/cpu", str(PACKAGE)]
    new = [f"{place}/{name}" for place in (*places, *python, Path.home())]
    reply = in_sandbox("hostile:write", {"there": there, "new": new}, files={"model.pt": b"x"})
    assert reply.record == {"done": []}


def test_folders_that_are_handed_over_cannot_be_changed(in_sandbox: InSandbox, tmp_path: Path) -> None:
    """Writing, renaming, removing and making fail because the folder is read-only, and it is as it was."""
    (tmp_path / "old.txt").write_text("old", encoding="utf-8")
    errors = in_sandbox("hostile:change", {"folder": str(tmp_path)}, folders=[tmp_path]).record["errors"]
    assert errors == [errno.EROFS] * len(errors)
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("old.txt", "old")]


def test_the_private_tmp_is_empty_and_limited(in_sandbox: InSandbox, tmp_path: Path) -> None:
    """Nothing of the machine's /tmp is seen, and no more can be written than the limit says."""
    reply = in_sandbox("hostile:fill_tmp", limits=Limits(file_bytes=4 << 20))
    assert not {*reply.record["before"]} - {Path(tmp_path.parts[2]).name, *PACKAGE.parts, *TASKS.parts}
    assert 0 < reply.record["bytes"] <= 4 << 20


def test_folders_are_seen_at_their_own_path(in_sandbox: InSandbox, tmp_path: Path) -> None:
    """A folder that is handed over can be read, also through a link to it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "definition.py").write_text("", encoding="utf-8")
    (tmp_path / "link").symlink_to("real")
    paths = [str(tmp_path / name / "definition.py") for name in ("link", "real")]
    assert in_sandbox("hostile:read", {"paths": paths}, folders=[tmp_path / "link"]).record == dict.fromkeys(paths, 0)


def _torchscript(name: str, value: str) -> bytes:
    torch = pytest.importorskip("torch")
    module = type(name, (torch.jit.ScriptModule,), {})()
    module.define(f"def forward(self, x):\n    return {value}\n")
    return module.save_to_buffer()


def test_a_torchscript_model_cannot_read_the_disk(in_sandbox: InSandbox) -> None:
    """A model that reads a file of the machine when it is called fails, where one that reads nothing answers."""
    harmless = _torchscript("Harmless", "x + 1")
    hostile = _torchscript("Hostile", 'torch.from_file("/etc/passwd", False, 20, dtype=torch.uint8)')
    assert in_sandbox("friendly:script", files={"model.pt": harmless}).arrays["y"].tolist() == [1.0]
    with pytest.raises(InputError, match=r"passwd.*No such file"):
        in_sandbox("friendly:script", files={"model.pt": hostile})

"""Where there is no sandbox the reason is given with what helps, and a stranger's model is never run."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kwsbench.errors import RefusedError
from kwsbench.sandbox import call, confine, unavailable_reason
from tests.sandbox.conftest import TASKS
from tests.sandboxed import needs_sandbox

_FAILING = "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
_SLEEPING = "#!/bin/sh\nexec sleep 100\n"
# Runs what comes after the options as it is, without any walls.
_FAKE = f'#!/bin/sh\nwhile [ "$1" != "{sys.executable}" ]; do shift; done\nexec "$@"\n'


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What was found out about this machine is found out anew, before and after."""
    unavailable_reason.cache_clear()
    yield
    unavailable_reason.cache_clear()


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH; empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}")
    return folder


def _write_bwrap(folder: Path, script: str) -> None:
    path = folder / "bwrap"
    path.write_text(script, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _call(mark: Path) -> None:
    call("hostile:leave_mark", {"path": str(mark)}, what="model.pt", python_path=[TASKS])


@pytest.mark.usefixtures("bin_folder")
def test_without_bubblewrap_the_message_says_how_to_install_it(tmp_path: Path) -> None:
    """No `bwrap` on the PATH: refused, with the commands that install it."""
    with pytest.raises(RefusedError, match=r"model\.pt .* sandbox only, but .* `sudo apt install bubblewrap`"):
        _call(tmp_path / "mark")
    assert not (tmp_path / "mark").exists()


def test_a_bubblewrap_that_fails_is_quoted(bin_folder: Path, tmp_path: Path) -> None:
    """A `bwrap` that cannot make namespaces: refused, with what it said."""
    _write_bwrap(bin_folder, _FAILING)
    with pytest.raises(RefusedError, match="said 'bwrap: No permissions to create new namespace'"):
        _call(tmp_path / "mark")
    assert "No permissions" in (unavailable_reason() or "")
    assert not (tmp_path / "mark").exists()


def test_a_program_that_is_not_bubblewrap_is_found_out(bin_folder: Path, tmp_path: Path) -> None:
    """A `bwrap` that runs its command without walls: the child sees it, and runs nothing."""
    _write_bwrap(bin_folder, _FAKE)
    with pytest.raises(RefusedError, match="not confined"):
        _call(tmp_path / "mark")
    assert not (tmp_path / "mark").exists()


def test_a_bubblewrap_that_cannot_be_started_is_named(bin_folder: Path) -> None:
    """A `bwrap` that is no program gives a reason, no traceback."""
    _write_bwrap(bin_folder, "#!/nowhere/at/all\n")
    assert "bwrap said" in (unavailable_reason() or "")
    with pytest.raises(RefusedError, match="bwrap said"):
        _call(Path("/nowhere"))


def test_a_bubblewrap_that_hangs_is_given_up(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `bwrap` that never ends does not make the check hang."""
    monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
    monkeypatch.setattr(confine, "_PROBE_S", 0.1)
    _write_bwrap(bin_folder, _SLEEPING)
    assert "timed out" in (unavailable_reason() or "")


@pytest.mark.parametrize(
    ("setting", "value", "helps"),
    [
        ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "apparmor-profiles"),
    ],
)
def test_the_remedy_fits_the_machine(
    bin_folder: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, helps: str
) -> None:
    """The kernel's own switches tell what keeps bubblewrap from working."""
    monkeypatch.setattr(confine, "_setting", lambda name: value if name == setting else "")
    _write_bwrap(bin_folder, _FAILING)
    assert helps in (unavailable_reason() or "")


def test_an_old_bubblewrap_is_told_from_a_forbidden_one(bin_folder: Path) -> None:
    """A version that does not know an option asks for a newer one."""
    _write_bwrap(bin_folder, "#!/bin/sh\necho 'bwrap: Unknown option --size' >&2\nexit 1\n")
    assert "older than 0.6" in (unavailable_reason() or "")


def test_other_systems_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Mac the reason is the system, and nothing is tried."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "needs Linux" in (unavailable_reason() or "")


@needs_sandbox
def test_here_there_is_a_sandbox() -> None:
    """Where bubblewrap works there is no reason to give."""
    assert unavailable_reason() is None

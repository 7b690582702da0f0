"""Whatever happens to the parent, no child stays behind: proved with real kills of real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kwsbench.errors import RefusedError
from kwsbench.sandbox import Limits, Reply, call, process
from tests.sandbox.conftest import TASKS
from tests.sandboxed import needs_sandbox

pytestmark = needs_sandbox

REPOSITORY = Path(__file__).parents[2]

_CALL = """
import sys
from pathlib import Path
from kwsbench.sandbox import call
reply = call(sys.argv[1], {}, what="model.pt", python_path=[Path(sys.argv[2])])
Path(sys.argv[2], "record").write_text(repr(reply.record))
"""

_PATIENCE_S = 20


def _processes_with(mark: Path) -> set[int]:
    """Returns the processes that have `mark` in their command line."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.fsencode(mark) in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def _soon(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def _open_files() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """The tasks in a folder of this test's own, which every process of its calls has in its command line."""
    return Path(shutil.copytree(TASKS, tmp_path / "tasks"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_parent_leaves_no_child(tasks: Path, number: signal.Signals) -> None:
    """When the parent is killed, with or without a chance to tidy up, the sandbox ends with it."""
    command = [sys.executable, "-c", _CALL, "hostile:sleep", str(tasks)]
    with subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True, stderr=subprocess.DEVNULL) as parent:
        # The parent, bubblewrap outside and inside, and the child.
        assert _soon(lambda: len(_processes_with(tasks)) == 4)
        parent.send_signal(number)
        assert parent.wait(_PATIENCE_S) == -number
    assert _soon(lambda: not _processes_with(tasks))


def test_a_child_that_was_stopped_is_gone(tasks: Path) -> None:
    """When the time is up nothing of the sandbox is left running."""
    with pytest.raises(RefusedError, match="did not finish"):
        call("hostile:sleep", {}, what="model.pt", python_path=[tasks], limits=Limits(wall_s=0.5))
    assert _soon(lambda: not _processes_with(tasks))


def test_an_interrupted_call_leaves_no_child(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt is let through, and leaves nothing running and no file."""
    before = {*Path(tempfile.gettempdir()).iterdir()}

    def interrupt(*_: object) -> None:
        assert _soon(lambda: len(_processes_with(tasks)) == 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "_read_both", interrupt)
    with pytest.raises(KeyboardInterrupt):
        call("hostile:sleep", {}, files={"model.pt": b"x"}, what="model.pt", python_path=[tasks])
    assert _soon(lambda: not _processes_with(tasks))
    left = {*Path(tempfile.gettempdir()).iterdir()} - before
    assert not [path for path in left if "kwsbench" in path.name or "bwrap" in path.name]


def test_no_file_descriptor_is_left_open() -> None:
    """A call that answers and a call that fails close what they opened."""

    def once(task: str) -> Reply:
        return call(task, {}, files={"a": b"1", "b": b"2"}, what="model.pt", python_path=[TASKS])

    once("friendly:double")
    before = _open_files()
    once("friendly:double")
    with pytest.raises(ValueError, match="no file name"):
        call("friendly:double", {}, files={"a": b"1", "b/c": b"2"}, what="model.pt")
    assert _open_files() == before


def test_a_call_works_where_all_standard_streams_are_closed(tasks: Path) -> None:
    """A parent without standard input, output and error, as under cron, gets its answer."""
    script = f'exec "{sys.executable}" -c \'{_CALL}\' friendly:where "{tasks}" <&- >&- 2>&-'
    subprocess.run(["bash", "-c", script], cwd=REPOSITORY, check=True)
    assert (tasks / "record").read_text(encoding="utf-8") == "{'inside': True}"


def test_what_the_child_is_given_cannot_be_changed_by_it() -> None:
    """The request lies in sealed memory, so that a child cannot keep it to write to without limit."""
    with process.bytes_in_memory("x", [b"abc"]) as descriptor:
        assert os.read(descriptor, 9) == b"abc"
        with pytest.raises(PermissionError):
            os.write(descriptor, b"d")
        assert descriptor > 2


def test_descriptors_of_the_parent_do_not_come_in(tmp_path: Path) -> None:
    """An open file of the parent, even an inheritable one, is not open in the child."""
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="utf-8")
    descriptor = os.open(secret, os.O_RDONLY)
    try:
        os.set_inheritable(descriptor, True)  # noqa: FBT003
        record = call("hostile:descriptors", {}, what="model.pt", python_path=[TASKS]).record
    finally:
        os.close(descriptor)
    assert record == {"open": [0, 1, 2, 3]}

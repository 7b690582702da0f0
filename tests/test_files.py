"""Files are written whole or not at all: proved with real kills, a full disk and missing rights."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kwsbench.errors import InputError
from kwsbench.files import replacing, replacing_all, sha256_of_file

OLD, NEW = "old\n", "new\n"

_SETPRIV = "-dac_override,-dac_read_search"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file with old content, alone in its folder."""
    path = tmp_path / "out" / "preds.csv"
    path.parent.mkdir()
    path.write_text(OLD, encoding="utf-8")
    return path


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _write_and_fail(target: Path, error: BaseException) -> None:
    with replacing(target) as temporary:
        temporary.write_text(NEW, encoding="utf-8")
        raise error


def _write_both(*targets: Path) -> None:
    with replacing_all() as stage:
        for target in targets:
            stage(target).write_text(NEW, encoding="utf-8")


def _run(code: str, *arguments: Path | str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _start(code: str, *arguments: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _kill_when_it_says_something(process: subprocess.Popen[str]) -> None:
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.kill()
        assert process.wait() == -signal.SIGKILL


def test_a_block_that_succeeds_replaces_the_file(target: Path) -> None:
    """The new content takes the old one's place, and nothing stays beside it."""
    with replacing(target) as temporary:
        temporary.write_text(NEW, encoding="utf-8")
        assert target.read_text(encoding="utf-8") == OLD
        assert temporary.parent == target.parent
    assert target.read_text(encoding="utf-8") == NEW
    assert _names(target.parent) == ["preds.csv"]


def test_folders_are_made(tmp_path: Path) -> None:
    """A target may lie in folders that are not there yet."""
    with replacing(tmp_path / "a" / "b" / "c.csv") as temporary:
        temporary.write_text(NEW, encoding="utf-8")
    assert (tmp_path / "a" / "b" / "c.csv").read_text(encoding="utf-8") == NEW


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1), OSError("it is something else")]
)
def test_a_block_that_fails_leaves_the_old_file(target: Path, error: BaseException) -> None:
    """Whatever ends the block early, the old file is as it was and the temporary one is gone."""
    with pytest.raises((type(error), InputError)):
        _write_and_fail(target, error)
    assert target.read_text(encoding="utf-8") == OLD
    assert _names(target.parent) == ["preds.csv"]


def test_a_block_that_writes_nothing_is_an_error(target: Path) -> None:
    """A block that forgets to write does not remove the old file."""
    with pytest.raises(InputError, match="cannot write"), replacing(target):
        pass
    assert target.read_text(encoding="utf-8") == OLD


def test_trouble_with_another_file_is_not_taken_for_trouble_with_the_target(target: Path, tmp_path: Path) -> None:
    """An input that is missing inside the block keeps its own error."""
    with pytest.raises(FileNotFoundError), replacing(target):
        (tmp_path / "input.csv").read_text(encoding="utf-8")


def test_a_folder_cannot_be_replaced(tmp_path: Path) -> None:
    """A target that is a folder is refused before anything is written, and is named."""
    (tmp_path / "scores").mkdir()
    with pytest.raises(InputError, match=r"scores: it is a folder; name a file"), replacing(tmp_path / "scores"):
        pytest.fail("the block ran")
    assert _names(tmp_path) == ["scores"]


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    """`-o /dev/null` must not cost the administrator the device; a pipe stands for it here."""
    os.mkfifo(tmp_path / "null")
    with pytest.raises(InputError, match="a device or pipe"), replacing(tmp_path / "null"):
        pytest.fail("the block ran")
    assert (tmp_path / "null").is_fifo()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """A target that is a symbolic link is written where it leads, as `open` would do."""
    (tmp_path / "real").mkdir()
    (tmp_path / "latest.csv").symlink_to(tmp_path / "real" / "preds.csv")
    with replacing(tmp_path / "latest.csv") as temporary:
        temporary.write_text(NEW, encoding="utf-8")
    assert (tmp_path / "latest.csv").is_symlink()
    assert (tmp_path / "real" / "preds.csv").read_text(encoding="utf-8") == NEW
    assert _names(tmp_path / "real") == ["preds.csv"]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    """A parent that is a file is an error about that path, without a traceback."""
    (tmp_path / "scores").write_text(OLD, encoding="utf-8")
    with pytest.raises(InputError, match="scores"), replacing(tmp_path / "scores" / "a" / "summary.csv"):
        pytest.fail("the block ran")
    assert (tmp_path / "scores").read_text(encoding="utf-8") == OLD


def test_several_files_appear_together(tmp_path: Path) -> None:
    """No target changes before the block is over; then all have changed."""
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    with replacing_all() as stage:
        for path in (first, second):
            stage(path).write_text(NEW, encoding="utf-8")
        assert not first.exists()
    assert first.read_text(encoding="utf-8") == second.read_text(encoding="utf-8") == NEW


def test_several_files_change_all_or_none(target: Path) -> None:
    """When the second of two cannot be written, the first, complete already, is not put in place."""
    with pytest.raises(InputError, match="it is a folder"):
        _write_both(target, target.parent)
    assert target.read_text(encoding="utf-8") == OLD
    assert _names(target.parent) == ["preds.csv"]


_HALF_A_FILE = """
import sys
from pathlib import Path
from kwsbench.files import replacing
with replacing(Path(sys.argv[1])) as temporary, temporary.open("wb") as file:
    file.write(bytes(1_000_000))
    file.flush()
    print("half", flush=True)
    sys.stdin.read()
"""

_ONE_OF_TWO_FILES = """
import sys
from pathlib import Path
from kwsbench.files import replacing_all
with replacing_all() as stage:
    stage(Path(sys.argv[1])).write_text("new")
    stage(Path(sys.argv[2]))
    print("half", flush=True)
    sys.stdin.read()
"""


def test_a_kill_in_the_middle_leaves_the_old_file(target: Path) -> None:
    """A process killed while it writes leaves the old content, and the next one can write."""
    _kill_when_it_says_something(_start(_HALF_A_FILE, target))
    assert target.read_text(encoding="utf-8") == OLD
    with replacing(target) as temporary:
        temporary.write_text(NEW, encoding="utf-8")
    assert target.read_text(encoding="utf-8") == NEW


def test_a_kill_in_the_middle_makes_no_file(tmp_path: Path) -> None:
    """Where there was no file, a killed process leaves none under that name."""
    _kill_when_it_says_something(_start(_HALF_A_FILE, tmp_path / "preds.csv"))
    assert not (tmp_path / "preds.csv").exists()


def test_a_kill_between_two_files_changes_neither(target: Path) -> None:
    """A process killed after the first of two files is complete has not replaced it."""
    other = target.with_name("other.csv")
    _kill_when_it_says_something(_start(_ONE_OF_TWO_FILES, target, other))
    assert target.read_text(encoding="utf-8") == OLD
    assert not other.exists()


_WRITES_FOR_EVER = """
import itertools, sys
from pathlib import Path
from kwsbench.files import replacing
for number in itertools.count():
    with replacing(Path(sys.argv[1])) as temporary:
        temporary.write_text(str(number % 10) * 200_000)
    if number == 2:
        print("half", flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_whole_file(target: Path) -> None:
    """A process that rewrites a file without end and is killed leaves one of its versions, complete."""
    for _ in range(3):
        _kill_when_it_says_something(_start(_WRITES_FOR_EVER, target))
        text = target.read_text(encoding="utf-8")
        assert text == text[0] * 200_000


_REPORTS_ITS_ERROR = """
import sys
from pathlib import Path
import polars as pl
from kwsbench.errors import InputError
from kwsbench.files import replacing

def write(path):
    if sys.argv[2] == "polars":
        pl.DataFrame({"path": ["a" * 100] * 10_000}).write_csv(path)
    else:
        path.write_text("a" * 1_000_000)

try:
    with replacing(Path(sys.argv[1])) as temporary:
        write(temporary)
except InputError as error:
    print(error)
"""

_LIMIT_FILE_SIZE = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
"""


@pytest.mark.parametrize("writer", ["text", "polars"])
def test_a_write_that_fails_keeps_the_old_file(target: Path, writer: str) -> None:
    """Where the system refuses to write more, the message names target and reason, and the old file is there."""
    result = _run(_LIMIT_FILE_SIZE + _REPORTS_ITS_ERROR, target, writer)
    assert result.stderr == ""
    assert result.stdout.startswith(f"cannot write {target}: File too large")
    assert "what was there before is unchanged" in result.stdout
    assert target.read_text(encoding="utf-8") == OLD
    assert _names(target.parent) == ["preds.csv"]


_ON_A_FULL_DISK = """
mount -t tmpfs -o size=64k tmpfs "$0" || exit 77
echo old > "$0/preds.csv"
"$@" "$0/preds.csv" text || exit 1
ls -A "$0"
cat "$0/preds.csv"
"""


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    """On a file system of 64 kB a file that does not fit is an error, and the old one is still there."""
    private = ["unshare", "--mount", "--map-root-user"]
    if shutil.which("unshare") is None:
        pytest.skip("there is no `unshare` to mount a tiny file system with")
    command = [*private, "sh", "-c", _ON_A_FULL_DISK, tmp_path, sys.executable, "-c", _REPORTS_ITS_ERROR]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 77 or "unshare" in result.stderr:
        pytest.skip(f"a tiny file system cannot be mounted here: {result.stderr.strip()}")
    message, *rest = result.stdout.splitlines()
    assert message.startswith(f"cannot write {tmp_path}/preds.csv: No space left on device")
    assert rest == ["preds.csv", "old"]


def test_without_the_right_to_write_nothing_changes(target: Path) -> None:
    """A folder that is read-only gives an error that names the file, also for a process that is root in name."""
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("this is root, who may write everywhere, and there is no `setpriv` to give that up")
        before = ("setpriv", f"--bounding-set={_SETPRIV}", f"--inh-caps={_SETPRIV}")
    target.parent.chmod(0o500)
    try:
        result = _run(_REPORTS_ITS_ERROR, target, "text", before=before)
    finally:
        target.parent.chmod(0o700)
    assert result.stderr == ""
    assert result.stdout.startswith(f"cannot write {target}: Permission denied")
    assert target.read_text(encoding="utf-8") == OLD


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_the_hash_of_a_file_is_sha256(tmp_path: Path, size: int) -> None:
    """The hash is that of all bytes, whatever the size of the file."""
    (tmp_path / "file").write_bytes(b"k" * size)
    assert sha256_of_file(tmp_path / "file") == hashlib.sha256(b"k" * size).hexdigest()

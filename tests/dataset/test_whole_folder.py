from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kwsbench.dataset.whole_folder import replacing_folder
from kwsbench.errors import InputError


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder that is there already, with one file."""
    folder = tmp_path / "audio"
    folder.mkdir()
    (folder / "old").write_text("old")
    return folder


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _write(target: Path) -> None:
    with replacing_folder(target) as folder:
        (folder / "new").write_text("new")


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    """The folder appears with what was written, its parents too, and nothing beside it."""
    _write(tmp_path / "a" / "b")
    assert _names(tmp_path / "a") == ["b"]
    assert _names(tmp_path / "a" / "b") == ["new"]


def test_a_folder_that_is_there_is_replaced_when_the_block_ends(target: Path) -> None:
    """While the block runs the old folder is whole; afterwards only what was written is there."""
    with replacing_folder(target) as folder:
        (folder / "new").write_text("new")
        assert _names(target) == ["old"]
    assert _names(target) == ["new"]
    assert _names(target.parent) == ["audio"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_everything_as_it_was(target: Path, error: type[BaseException]) -> None:
    """An exception, Ctrl-C included, leaves the old folder and no temporary one."""

    def fail() -> None:
        with replacing_folder(target) as folder:
            (folder / "new").write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert _names(target) == ["old"]
    assert _names(target.parent) == ["audio"]


def test_a_place_that_cannot_be_written_is_an_input_error(target: Path) -> None:
    """A file where a folder is needed is said so, with what became of the rest."""
    with pytest.raises(InputError, match="what was there before is unchanged"):
        _write(target / "old" / "below")


def test_a_second_rename_that_fails_is_undone(target: Path) -> None:
    """When the new folder cannot take the old one's place, the old one is put back."""

    def lose_the_new_folder() -> None:
        with replacing_folder(target) as folder:
            folder.rmdir()

    with pytest.raises(InputError, match="what was there before is unchanged"):
        lose_the_new_folder()
    assert _names(target) == ["old"]
    assert _names(target.parent) == ["audio"]


def test_the_next_run_puts_back_what_a_kill_between_the_renames_left(target: Path) -> None:
    """When only the renamed old folder is there, it is the target again before anything else happens."""
    target.rename(target.with_name(".audio.0a1b2c3d.old.tmp"))

    def fail() -> None:
        with replacing_folder(target):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert _names(target) == ["old"]
    assert _names(target.parent) == ["audio"]


def test_the_next_run_removes_what_a_kill_after_the_renames_left(target: Path) -> None:
    """When old and new are both there, the old one goes."""
    target.with_name(".audio.0a1b2c3d.old.tmp").mkdir()
    _write(target)
    assert _names(target.parent) == ["audio"]


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked on Windows")
def test_a_run_in_progress_keeps_its_temporary_folder(target: Path) -> None:
    """Another process at work on the same folder is not disturbed; killed, its temporary folder goes."""
    program = (
        "import sys, time; from pathlib import Path; from kwsbench.dataset.whole_folder import replacing_folder\n"
        "with replacing_folder(Path(sys.argv[1])) as folder: (folder / 'x').touch(); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(target)]) as process:
        try:
            while not list(target.parent.glob(".*/x")):
                assert process.poll() is None
                time.sleep(0.01)
            _write(target)
            assert len(_names(target.parent)) == 2
        finally:
            process.kill()
    _write(target)
    assert _names(target.parent) == ["audio"]

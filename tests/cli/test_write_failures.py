"""Where results cannot be written: full disks, limits, permissions. What was there before stays, whole."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import CommandLine, Tiny

WITHOUT_PRIVILEGES = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]


@pytest.fixture
def writers(tiny: Tiny, baselines: tuple) -> dict[str, tuple[str | Path, ...]]:
    """The commands that write files; each overwrites an earlier result."""
    model = "models/tiny/tiny.txt"
    return {
        "prepare": ("data", "prepare", tiny.folder / "data/tiny/manifest.toml", "--from", tiny.audio),
        "train": ("train", "tiny", *baselines, "--manifest", "tiny", "--seed", "5"),
        "predict": ("predict", model, *baselines, "--manifest", "tiny", "--split", "train"),
        "score": ("score", "preds.csv", "--replicates", "200"),
        "sample": ("data", "sample-submission", "tiny", "--split", "train"),
    }


@pytest.mark.parametrize("name", ["prepare", "train", "predict", "score", "sample"])
def test_a_limit_on_the_size_of_files_is_one_error(name: str, kws: CommandLine, writers: dict) -> None:
    """Where no file may grow beyond 600 bytes, nothing is written by halves and no temporary file stays."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    kws.env["PYTHONDONTWRITEBYTECODE"] = "1"
    kws.fails(2, *writers[name], preexec_fn=limit, says=["cannot write"])


@pytest.fixture
def small_disk(kws: CommandLine) -> CommandLine:
    """The command line with the current folder on a small disk, of which nothing is left."""
    copy = kws.folder.with_name("copy")
    shutil.copytree(kws.folder, copy)
    script = (
        f"mount -t tmpfs -o size=512k tmpfs {kws.folder} && cp -r {copy}/. {kws.folder} && cd {kws.folder}"
        ' && { dd if=/dev/zero of=filler bs=1k 2>/dev/null; "$0" "$@"; code=$?; '
        f"rm filler; diff -r {copy} . >&2 || exit 99; exit $code; }}"
    )
    kws.before = ["unshare", "--mount", "sh", "-c", script]
    probe = subprocess.run([*kws.before, "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {probe.stderr.decode().strip()}")
    return kws


@pytest.mark.parametrize("name", ["prepare", "predict", "score"])
def test_a_full_disk_is_one_error(name: str, small_disk: CommandLine, writers: dict) -> None:
    """On a full disk a command says so, and the earlier results are there byte for byte."""
    ran = small_disk(*writers[name])
    small_disk.check_failure(ran, 2, ["cannot write", "pace left on device"])


@pytest.fixture
def unprivileged(kws: CommandLine) -> CommandLine:
    """The command line without root's right to read and write everything."""
    if os.geteuid() == 0:
        kws.before = WITHOUT_PRIVILEGES
        probe = shutil.which("setpriv") and subprocess.run([*kws.before, "true"], capture_output=True, check=False)
        if not probe or probe.returncode:
            pytest.skip("root's privileges cannot be dropped here")
    return kws


@pytest.mark.parametrize("words", ["score preds.csv", "compare preds.csv preds.csv"])
def test_a_file_that_may_not_be_read_is_one_error(words: str, unprivileged: CommandLine) -> None:
    """Predictions without read permission are named."""
    content = (unprivileged.folder / "preds.csv").read_bytes()
    (unprivileged.folder / "preds.csv").chmod(0)
    ran = unprivileged(*words.split())
    unprivileged.check_failure(ran, 2, ["preds.csv", "readable"])
    (unprivileged.folder / "preds.csv").chmod(0o600)
    assert (unprivileged.folder / "preds.csv").read_bytes() == content


@pytest.mark.parametrize(
    ("name", "folder"),
    [("prepare", "data/tiny"), ("train", "models/tiny"), ("predict", "."), ("score", "scores/preds")],
)
def test_a_folder_that_may_not_be_written_is_one_error(
    name: str, folder: str, unprivileged: CommandLine, writers: dict
) -> None:
    """A folder without write permission is named, and what is in it stays."""
    (unprivileged.folder / folder).chmod(0o555)
    try:
        unprivileged.fails(2, *writers[name], says=["cannot write"])
    finally:
        (unprivileged.folder / folder).chmod(0o755)


def test_a_folder_of_audio_that_may_not_be_listed_is_one_error(
    unprivileged: CommandLine, tiny: Tiny, baselines: tuple
) -> None:
    """A folder inside the audio without read permission is named, not silently left out."""
    shutil.copytree(tiny.audio / "test", unprivileged.folder / "mine")
    closed = unprivileged.folder / "mine/low"
    closed.chmod(0)
    ran = unprivileged("predict", "models/tiny/tiny.txt", "mine", *baselines, "-o", "mine.csv")
    closed.chmod(0o755)
    unprivileged.check_failure(ran, 2, ["cannot list the folder mine/low: permission denied"])
    assert not (unprivileged.folder / "mine.csv").exists()

"""The cache of a split: the same samples to the bit, built once, whole or not at all, and never a wrong one."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kwsbench.dataset import cache, disk
from kwsbench.dataset.cache import ClipCache, open_cache
from kwsbench.dataset.clips import PreparedDataset, as_heard, load_prepared, load_samples
from kwsbench.errors import InputError
from kwsbench.manifest import SPLITS
from tests.conftest import Tiny, write_wav
from tests.memory import takes_at_most

CLIP = "yes/00176480_nohash_0.wav"

PROPERTY = settings(
    deadline=None,
    derandomize=True,
    max_examples=100,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def dataset(tiny: Tiny) -> PreparedDataset:
    """The tiny data set with a clip that is too short and one that is too long."""
    write_wav(tiny.root / CLIP, 600)
    write_wav(tiny.root / "no" / "1641e121_nohash_0.wav", 5_000)
    return tiny.prepare()


def _files(dataset: PreparedDataset) -> list[str]:
    return sorted(path.name for path in (dataset.folder / "_cache").iterdir())


def _whole(opened: ClipCache) -> np.ndarray:
    return opened.samples(np.arange(len(opened)))


def _is_right(opened: ClipCache, dataset: PreparedDataset, split: str = "train") -> bool:
    """Whether the cache holds the very bits of `load_samples`."""
    return _whole(opened).tobytes() == load_samples(dataset.clips.filter(pl.col("split") == split), dataset).tobytes()


# What it holds


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("clips_per_task", [1, 3, 256])
def test_the_cache_holds_the_samples_of_the_clips(
    dataset: PreparedDataset, split: str, clips_per_task: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short, long and silent clips are equal to `load_samples` to the bit, however the work was cut."""
    monkeypatch.setattr(cache, "_CLIPS_PER_TASK", clips_per_task)
    for _ in ("built", "opened"):
        opened = open_cache(dataset, split)
        assert len(opened) == len(dataset.split(split))
        assert _whole(opened).dtype == np.float32
        assert _is_right(opened, dataset, split)


@PROPERTY
@given(data=st.data())
def test_any_clips_can_be_taken_in_any_order(dataset: PreparedDataset, data: st.DataObject) -> None:
    """A batch of indices, also with repetitions or empty, has the samples of those rows."""
    opened, rows = open_cache(dataset, "train"), dataset.split("train")
    indices = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=20)), np.int64)
    batch = opened.samples(indices)
    assert batch.shape == (len(indices), 1_600)
    assert batch.tobytes() == load_samples(rows[indices.tolist()], dataset).tobytes()


@PROPERTY
@given(value=st.integers(-32_768, 32_767), gain=st.floats(0, 1))
def test_a_sample_is_its_number_times_the_gain(value: int, gain: float) -> None:
    """Each sample is the 16-bit number times float32(gain / 32768), rounded once."""
    heard = as_heard(np.array([[value]], np.int16), np.array([gain]))
    assert heard.dtype == np.float32
    assert heard[0, 0] == np.float32(value) * np.float32(gain / 32_768)


def test_codes_are_places_among_the_labels_of_the_manifest(dataset: PreparedDataset) -> None:
    """They come as int64 in the order of the clips; keywords come first, as the manifest has them."""
    codes = open_cache(dataset, "train").codes
    assert codes.dtype == np.int64
    assert codes.tolist() == [dataset.manifest.labels.index(label) for label in dataset.split("train")["label"]]
    assert set(codes.tolist()) == {0, 1, 2, 3}


def test_clips_whose_labels_the_host_keeps_have_no_codes(dataset: PreparedDataset) -> None:
    """Their samples can be had; asking for their codes is an error that says why."""
    table = dataset.table.read_text(encoding="utf-8").replace(".wav,no,test,", '.wav,"",test,')
    dataset.table.write_text(table, encoding="utf-8")
    changed = load_prepared(dataset.folder)
    opened = open_cache(changed, "test")
    assert _is_right(opened, changed, "test")
    with pytest.raises(InputError, match="2 clips have none of the labels"):
        _ = opened.codes


class _SlowToSeek(io.FileIO):
    def seek(self, *arguments: int) -> int:
        place = super().seek(*arguments)
        time.sleep(0.005)
        return place


def test_threads_do_not_write_into_each_others_clips(dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between finding a clip's place in the file and writing it there, no other thread moves on."""
    path_open = Path.open

    def slow(path: Path, mode: str = "r", **options: str) -> object:
        return _SlowToSeek(path, "wb") if mode == "wb" else path_open(path, mode, **options)

    monkeypatch.setattr(Path, "open", slow)
    monkeypatch.setattr(cache, "_CLIPS_PER_TASK", 1)
    assert _is_right(open_cache(dataset, "train"), dataset)


# Built once


def test_what_is_cached_is_not_read_again(dataset: PreparedDataset, tiny: Tiny) -> None:
    """Once it is built, the cache is all that is needed; the audio may be gone."""
    before = _whole(open_cache(dataset, "train"))
    shutil.rmtree(tiny.root)
    assert np.array_equal(_whole(open_cache(load_prepared(dataset.folder), "train")), before)


def test_the_samples_stay_in_the_file(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Building holds a few clips in memory at a time, and opening none of them."""
    text = tiny.manifest_path.read_text(encoding="utf-8")
    tiny.edit(text[text.index("[silence]") : text.index("[front_end]")], "")
    tiny.edit("clip_length_s = 0.1", "clip_length_s = 30.0")
    tiny.forget_counts()
    dataset = tiny.prepare(partial=True)
    rows = dataset.split("train")
    whole_bytes = 2 * 30 * 16_000 * len(rows)
    monkeypatch.setattr(cache, "_CLIPS_PER_TASK", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with takes_at_most(whole_bytes / 2):
        open_cache(dataset, "train")
    with takes_at_most(whole_bytes / 20):
        opened = open_cache(dataset, "train")
    with takes_at_most(whole_bytes / 2):
        opened.samples(np.array([0]))


def test_a_cache_cannot_be_written_to(dataset: PreparedDataset) -> None:
    """Nobody changes the clips of a later run by accident."""
    opened = open_cache(dataset, "train")
    with pytest.raises(ValueError, match="read-only"):
        opened.pcm[0, 0] = 1


# What it is made from


def test_a_new_table_gets_a_new_cache_and_the_old_one_goes(dataset: PreparedDataset, tiny: Tiny) -> None:
    """Prepared anew with other audio, the cache is built again; the one of another split stays."""
    open_cache(dataset, "train")
    open_cache(dataset, "validation")
    old = _files(dataset)
    write_wav(tiny.root / CLIP, 700)
    anew = tiny.prepare()
    assert _is_right(open_cache(anew, "train"), anew)
    assert len(_files(anew)) == 2
    assert [name in old for name in _files(anew)] == [False, True]


def test_a_clip_length_gets_its_own_cache(dataset: PreparedDataset, tiny: Tiny) -> None:
    """The table may be the same; clips of another length are other clips."""
    open_cache(dataset, "train")
    old = _files(dataset)
    tiny.edit("clip_length_s = 0.1", "clip_length_s = 0.05")
    shorter = PreparedDataset(tiny.manifest, dataset.folder, dataset.audio_root, complete=True)
    assert open_cache(shorter, "train").pcm.shape[1] == 800
    assert _is_right(open_cache(shorter, "train"), shorter)
    assert set(_files(dataset)).isdisjoint(old)


def test_another_version_of_the_cache_is_another_file(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the layout changes, what earlier versions wrote is not opened."""
    open_cache(dataset, "train")
    old = _files(dataset)
    monkeypatch.setattr(cache, "_VERSION", cache._VERSION + 1)
    assert _is_right(open_cache(dataset, "train"), dataset)
    assert set(_files(dataset)).isdisjoint(old)


def test_the_old_cache_stays_until_the_new_one_is_complete(dataset: PreparedDataset, tiny: Tiny) -> None:
    """A build that fails leaves what was there, and nothing half written."""
    open_cache(dataset, "train")
    old = _files(dataset)
    write_wav(tiny.root / CLIP, 700)
    anew = tiny.prepare()
    (tiny.root / CLIP).unlink()
    with pytest.raises(InputError, match="1 clips cannot be read; `kwsbench data verify tiny`"):
        open_cache(anew, "train")
    assert _files(anew) == old


# Damage


@pytest.mark.parametrize(
    "damage",
    [lambda _: b"", lambda content: content[:-2], lambda content: content + b"\0", lambda content: bytes(len(content))],
    ids=["empty", "cut off", "too long", "zeros"],
)
def test_a_damaged_cache_is_built_again(dataset: PreparedDataset, damage: Callable[[bytes], bytes]) -> None:
    """A file of the wrong size or with another header is not believed."""
    open_cache(dataset, "train")
    (path,) = (dataset.folder / "_cache").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert _is_right(open_cache(dataset, "train"), dataset)
    assert _files(dataset) == [path.name]


_KILLED_WHILE_BUILDING = """
import os, signal, sys
from pathlib import Path
from kwsbench.dataset import cache
from kwsbench.dataset.clips import load_prepared

cache._CLIPS_PER_TASK = 4
read = cache.load_pcm

def read_some(rows, dataset):
    if "yes/00176480_nohash_0.wav" in rows["path"].to_list():
        os.kill(os.getpid(), signal.SIGKILL)
    return read(rows, dataset)

cache.load_pcm = read_some
cache.open_cache(load_prepared(Path(sys.argv[1])), "train")
"""


def test_a_build_that_was_killed_leaves_no_cache(dataset: PreparedDataset) -> None:
    """What it had written never gets the name of a cache, and the next build removes it."""
    killed = subprocess.run([sys.executable, "-c", _KILLED_WHILE_BUILDING, dataset.folder], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = _files(dataset)
    assert left.endswith(".tmp")
    assert _is_right(open_cache(dataset, "train"), dataset)
    assert [name.endswith(".npy") for name in _files(dataset)] == [True]


# Several at once


def test_of_several_that_build_at_once_one_builds(dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for it and open what it has built."""
    builds, write = [], cache._write
    monkeypatch.setattr(cache, "_write", lambda *arguments: (builds.append(1), write(*arguments)))
    start = threading.Barrier(4)

    def build(_: int) -> ClipCache:
        start.wait()
        return open_cache(dataset, "train")

    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(build, range(4)))
    assert all(_is_right(each, dataset) for each in opened)
    assert len(builds) == 1


def test_without_locks_all_build_and_all_are_right(dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no locks, several builds do not disturb each other, nor remove each other's files."""
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_: object) -> None:
        raise OSError(37, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    both_build = threading.Barrier(2, timeout=20)
    read = cache.load_pcm
    monkeypatch.setattr(cache, "load_pcm", lambda *arguments: (both_build.wait(), read(*arguments))[1])
    with ThreadPoolExecutor(2) as pool:
        opened = list(pool.map(lambda _: open_cache(dataset, "train"), range(2)))
    assert all(_is_right(each, dataset) for each in opened)
    assert len(_files(dataset)) == 1


_OPEN = """
import hashlib, sys
from pathlib import Path
import numpy as np
from kwsbench.dataset.cache import open_cache
from kwsbench.dataset.clips import load_prepared
from kwsbench.errors import InputError

try:
    cache = open_cache(load_prepared(Path(sys.argv[1])), "train")
except InputError as error:
    print(error)
else:
    print(hashlib.sha256(cache.samples(np.arange(len(cache)))).hexdigest())
"""


def test_processes_that_build_at_once_all_get_the_clips(dataset: PreparedDataset) -> None:
    """Processes that start together, as those of several GPUs do, see the same samples."""
    command = [sys.executable, "-c", _OPEN, str(dataset.folder)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    hashes = {process.communicate()[0].strip() for process in processes}
    assert len(hashes) == 1
    assert len(hashes.pop()) == 64
    assert len(_files(dataset)) == 1


# No room


def test_too_little_room_is_told_before_anything_is_read(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how much is needed and how much is free."""
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10_000, 9_000, 1_000))
    with pytest.raises(InputError, match="the disk has too little room") as caught:
        open_cache(dataset, "train")
    (problem,) = caught.value.problems
    assert "1,000 bytes" in problem.found
    assert "51,328 bytes" in problem.expected
    assert _files(dataset) == []


_LIMIT_FILE_SIZE = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
"""


def test_a_write_that_fails_is_one_message_and_leaves_nothing(dataset: PreparedDataset) -> None:
    """Where the system takes only the first bytes, no traceback and no half a cache remain."""
    command = [sys.executable, "-c", _LIMIT_FILE_SIZE + _OPEN, dataset.folder]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    assert shown.stdout.startswith(f"cannot write {dataset.folder}/_cache/train-")
    assert "File too large" in shown.stdout
    assert _files(dataset) == []


def test_a_folder_that_cannot_be_made_is_told_as_such(dataset: PreparedDataset) -> None:
    """A file in the place of the folder is named."""
    path: Path = dataset.folder / "_cache"
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot write into .*_cache.*; nothing was cached"):
        open_cache(dataset, "train")


def test_a_split_without_clips_has_no_cache(dataset: PreparedDataset) -> None:
    """The error is that of the split, and nothing is written."""
    lines = dataset.table.read_text(encoding="utf-8").splitlines(keepends=True)
    dataset.table.write_text("".join(line for line in lines if ",validation," not in line), encoding="utf-8")
    with pytest.raises(InputError, match="no clips in the split 'validation'"):
        open_cache(load_prepared(dataset.folder), "validation")
    assert not (dataset.folder / "_cache").exists()

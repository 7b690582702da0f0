"""The clips of a split in one file of samples, mapped into memory: what an epoch reads instead of thousands of WAV files.

The file is a NumPy array of 16-bit PCM, one row per clip, in `_cache` beside `clips.csv`. Its name holds the hash of
what it is made from, so that a table that was prepared anew has a cache of its own. Gains and labels stay in the table.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.dataset.clips import PreparedDataset, as_heard, load_pcm
from kwsbench.dataset.disk import cannot_write, require_free_space
from kwsbench.errors import InputError
from kwsbench.files import replacing
from kwsbench.locks import waiting_for_turn
from kwsbench.manifest import Split
from kwsbench.progress import each_in_parallel

_FOLDER = "_cache"
_VERSION = 1
_CLIPS_PER_TASK = 256


@dataclass(frozen=True, eq=False)
class ClipCache:
    """The clips of a split; `open_cache` makes it.

    Attributes:
        pcm: Samples before the gain, 16-bit, shape (clips, clip_samples); mapped from a file, read only.
        gains: Factor to play each clip at, shape (clips,).
        labels: Label of each clip, null where the manifest does not have it.
    """

    pcm: NDArray[np.int16]
    gains: NDArray[np.float64]
    labels: pl.Series

    def __len__(self) -> int:
        return len(self.pcm)

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """Label of each clip as its place among the labels of the manifest, shape (clips,).

        Raises:
            InputError: Clips have no label that the manifest knows; the host keeps them.
        """
        if unknown := self.labels.null_count():
            raise InputError(
                f"{unknown:,} clips have none of the labels of the manifest, so nothing can learn from them"
            )
        return self.labels.to_physical().to_numpy().astype(np.int64)

    def samples(self, indices: NDArray[np.integer]) -> NDArray[np.float32]:
        """Returns clips as `load_samples` does.

        Args:
            indices: Places of the clips in their split, each in 0 to `len(self) - 1`, in any order.

        Returns:
            Samples in [-1, 1), shape (indices, clip_samples).
        """
        return as_heard(self.pcm[indices], self.gains[indices])


def open_cache(dataset: PreparedDataset, split: Split) -> ClipCache:
    """Opens the cache of a split; builds it first where there is none, or a damaged one.

    Of several processes that want to build, one does and the others wait for it. A cache is written whole or not at
    all; caches of the split that were made from something else go when the new one is complete.

    Args:
        dataset: A prepared data set.
        split: The split, whose clips keep the order of the table.

    Raises:
        InputError: The split has no clips, audio is missing or damaged, or the cache cannot be written.
    """
    rows, path = dataset.split(split), _path(dataset, split)
    layout = _Layout(len(rows), dataset.manifest.clip_samples)
    pcm = layout.mapped(path)
    if pcm is None:
        pcm = _built(path, rows, dataset, layout)
    labels = rows["label"].cast(pl.Enum(list(dataset.manifest.labels)), strict=False)
    return ClipCache(pcm, rows["gain"].to_numpy(), labels)


def _path(dataset: PreparedDataset, split: Split) -> Path:
    made_from = [_VERSION, dataset.clips_sha256, split, dataset.manifest.sample_rate_hz, dataset.manifest.clip_samples]
    digest = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
    return dataset.folder / _FOLDER / f"{split}-{digest[:16]}.npy"


@dataclass(frozen=True)
class _Layout:
    """How a cache lies in its file, to the byte."""

    num_clips: int
    clip_samples: int

    @cached_property
    def header(self) -> bytes:
        fields = {"descr": "<i2", "fortran_order": False, "shape": (self.num_clips, self.clip_samples)}
        with io.BytesIO() as stream:
            np.lib.format.write_array_header_1_0(stream, fields)
            return stream.getvalue()

    def offset(self, clip: int) -> int:
        """The byte that a clip begins at."""
        return len(self.header) + 2 * clip * self.clip_samples

    @property
    def num_bytes(self) -> int:
        return self.offset(self.num_clips)

    def mapped(self, path: Path) -> NDArray[np.int16] | None:
        """The samples of a cache; None where it is not there, cut off, too long or something else."""
        try:
            with path.open("rb") as handle:
                if os.fstat(handle.fileno()).st_size != self.num_bytes or handle.read(len(self.header)) != self.header:
                    return None
                shape = (self.num_clips, self.clip_samples)
                return np.asarray(np.memmap(handle, "<i2", "r", len(self.header), shape))
        except OSError:
            return None


def _built(path: Path, rows: pl.DataFrame, dataset: PreparedDataset, layout: _Layout) -> NDArray[np.int16]:
    with _one_at_a_time(path.parent) as alone:
        if (pcm := layout.mapped(path)) is not None:
            return pcm
        if alone:
            _remove(path.parent.glob(".*.npy.*.tmp"))
        _write(path, rows, dataset, layout)
        split = path.name.partition("-")[0]
        _remove(other for other in path.parent.glob(f"{split}-*.npy") if other != path)
        if (pcm := layout.mapped(path)) is None:
            raise InputError(f"cannot read {path}, which has just been written; remove it and try again")
    return pcm


def _write(path: Path, rows: pl.DataFrame, dataset: PreparedDataset, layout: _Layout) -> None:
    require_free_space(path.parent, layout.num_bytes, f"cannot write {path}")
    tasks = [range(len(rows))[start:][:_CLIPS_PER_TASK] for start in range(0, len(rows), _CLIPS_PER_TASK)]
    turn = threading.Lock()
    with replacing(path) as temporary, temporary.open("wb") as handle:
        handle.write(layout.header)

        def store(clips: range) -> None:
            # Written where it was read: results that wait for their turn would fill the memory.
            pcm = load_pcm(rows[clips.start : clips.stop], dataset)
            with turn:
                handle.seek(layout.offset(clips.start))
                handle.write(pcm.data)

        for _ in each_in_parallel(store, tasks, f"caching {dataset.manifest.name}", "clips"):
            pass


def _remove(paths: Iterator[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):  # Windows keeps a file that somebody has mapped
            path.unlink()


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[bool]:
    """Makes the folder, waits until no other process is in such a block on it, and says whether it could wait."""
    with ExitStack() as stack:
        try:
            folder.mkdir(exist_ok=True)
            could_wait = stack.enter_context(waiting_for_turn(folder))
        except OSError as error:
            raise cannot_write(f"cannot write into {folder}", error, "nothing was cached") from error
        yield could_wait

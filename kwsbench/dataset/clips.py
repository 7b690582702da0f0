"""The prepared data set: `clips.csv`, the manifest it was made from, and where its audio lies.

`clips.csv` has one row per clip: `path,label,split,speaker_id,start_sample,num_samples,gain,pcm_sha256`, and the
manifest's id column where that is not `path`. Every later step reads that table and nothing else; its SHA-256 names
the data in every result. The path of a clip that is a stretch of a longer file ends in `#` and its first sample, so
that `path` is unique.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.catalogue import find_manifest
from kwsbench.dataset.audio import fit_length
from kwsbench.dataset.places import DESCRIPTION, Places
from kwsbench.dataset.wav import Excerpt, WavError, cut, read_pcm
from kwsbench.errors import InputError, ProblemLog
from kwsbench.files import sha256_of_file
from kwsbench.manifest import Manifest, Split, read_manifest

CLIP_COLUMNS: dict[str, pl.DataType] = {
    "path": pl.String(),
    "label": pl.String(),
    "split": pl.String(),
    "speaker_id": pl.String(),
    "start_sample": pl.Int64(),
    "num_samples": pl.Int64(),
    "gain": pl.Float64(),
    "pcm_sha256": pl.String(),
}
"""Columns of `clips.csv` and their types."""


def audio_file(path: str) -> str:
    """Returns the file that a clip's `path` lies in: the path without its `#START`.

    >>> audio_file("noise/rain.wav#16000"), audio_file("yes/take#1.wav")
    ('noise/rain.wav', 'yes/take#1.wav')
    """
    return re.sub(r"(\.wav)#[0-9]+\Z", r"\1", path, flags=re.IGNORECASE)


@dataclass(frozen=True)
class PreparedDataset:
    """A prepared data set.

    Attributes:
        manifest: The manifest that it was prepared from.
        folder: Where `clips.csv` lies.
        audio_root: What the paths of the clips are relative to.
        complete: The counts are those of the manifest.
    """

    manifest: Manifest
    folder: Path
    audio_root: Path
    complete: bool

    @property
    def table(self) -> Path:
        """Path of `clips.csv`."""
        return self.folder / "clips.csv"

    @cached_property
    def clips_sha256(self) -> str:
        """SHA-256 of `clips.csv`, the name of the data."""
        try:
            return sha256_of_file(self.table)
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error

    @cached_property
    def clips(self) -> pl.DataFrame:
        """The whole table, with a column named like the manifest's id column."""
        columns = CLIP_COLUMNS | {self.manifest.id_column: pl.String()}
        try:
            table = pl.read_csv(self.table, schema=columns, empty_string_is_null=False, glob=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._unreadable(str(error).partition("\n")[0]) from error
        if any(table.null_count().row(0)):
            raise self._unreadable("a row ends too early")
        return table

    def split(self, split: Split) -> pl.DataFrame:
        """Returns the rows of one split, in the order of the table.

        Raises:
            InputError: The split has no clips.
        """
        rows = self.clips.filter(pl.col("split") == split)
        if rows.is_empty():
            raise InputError(f"the data set {self.manifest.name} has no clips in the split {split!r}")
        return rows

    def _unreadable(self, reason: str) -> InputError:
        return InputError(f"cannot read {self.table}: {reason}; prepare {self.manifest.name} again")


def load_prepared(folder: Path) -> PreparedDataset:
    """Opens the prepared data set in `folder`.

    Raises:
        InputError: Nothing is prepared there, or what is there cannot be read.
    """
    try:
        state = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        manifest = read_manifest(folder / "manifest.toml")
        return PreparedDataset(manifest, folder, folder / state["audio_root"], state["complete"])
    except (FileNotFoundError, NotADirectoryError) as error:
        name = folder.name
        raise InputError(
            f"{name} is not prepared in {folder.parent}; run `kwsbench data prepare {name}`"
            " (or name another data folder with --data or KWSBENCH_DATA)"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / DESCRIPTION} is damaged; prepare {folder.name} again") from error


def open_dataset(name_or_path: str, places: Places) -> PreparedDataset:
    """Opens the prepared data set of a manifest. Raises InputError where it is not prepared, or changed since."""
    prepared = places.root / name_or_path
    if "/" not in name_or_path and (prepared / DESCRIPTION).is_file():
        return load_prepared(prepared)
    manifest, _ = find_manifest(name_or_path)
    dataset = load_prepared(places.folder(manifest))
    if dataset.manifest != manifest:
        raise InputError(
            f"{name_or_path} has changed since {manifest.name} was prepared in {dataset.folder}; run `kwsbench data prepare` again"
        )
    return dataset


def load_samples(rows: pl.DataFrame, dataset: PreparedDataset) -> NDArray[np.float32]:
    """Reads clips as they are heard: gain applied, zeros at the end where short, cut at the end where long.

    Args:
        rows: Rows of the table, from `PreparedDataset.split`.
        dataset: The data set that they are from.

    Returns:
        Samples in [-1, 1), shape (clips, clip_samples).

    Raises:
        InputError: A file is missing or damaged; all that are are named.
    """
    return as_heard(load_pcm(rows, dataset), rows["gain"].to_numpy())


def load_pcm(rows: pl.DataFrame, dataset: PreparedDataset) -> NDArray[np.int16]:
    """Reads clips as they are stored: no gain, zeros at the end where short, cut at the end where long.

    Args:
        rows: Rows of the table, from `PreparedDataset.split`.
        dataset: The data set that they are from.

    Returns:
        16-bit samples, little-endian, shape (clips, clip_samples).

    Raises:
        InputError: A file is missing or damaged; all that are are named.
    """
    clips = np.zeros((len(rows), dataset.manifest.clip_samples), dtype="<i2")
    log = ProblemLog()
    columns = rows.select("path", "start_sample", "num_samples")
    for clip, (path, start, length) in zip(clips, columns.iter_rows(), strict=True):
        file = audio_file(path)
        try:
            pcm = cut(read_pcm(dataset.audio_root / file, dataset.manifest.sample_rate_hz), Excerpt(start, length))
        except WavError as error:
            log.add("audio", error.problem(file))
            continue
        clip[:] = fit_length(np.frombuffer(pcm, dtype="<i2"), len(clip))
    if len(log):
        name = dataset.manifest.name
        raise InputError(f"{len(log)} clips cannot be read; `kwsbench data verify {name}` tells more", log.problems())
    return clips


def as_heard(pcm: NDArray[np.int16], gains: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turns stored clips into what is heard.

    Args:
        pcm: 16-bit samples, shape (clips, samples).
        gains: Factor to play each clip at, shape (clips,).

    Returns:
        Samples x gain / 32768, shape (clips, samples).
    """
    samples = pcm.astype(np.float32)
    samples *= (gains / 32768).astype(np.float32)[:, None]
    return samples


def batches(rows: pl.DataFrame, dataset: PreparedDataset, batch_size: int = 512) -> Iterator[NDArray[np.float32]]:
    """Yields the samples of `rows` in order, `batch_size` clips at a time; raises as `load_samples` does."""
    for part in rows.iter_slices(batch_size):
        yield load_samples(part, dataset)

"""From an archive or a folder to `clips.csv`: every clip is opened, its header checked and its samples hashed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from kwsbench import __version__
from kwsbench.dataset.clips import CLIP_COLUMNS, PreparedDataset
from kwsbench.dataset.listing import Clip, list_clips
from kwsbench.dataset.places import DESCRIPTION, Places
from kwsbench.dataset.wav import Excerpt, Fingerprint, WavError, fingerprints
from kwsbench.errors import CheckFailedError, InputError, Problem, ProblemLog
from kwsbench.files import replacing_all
from kwsbench.manifest import SPLITS, Manifest, Split
from kwsbench.progress import each_in_parallel

_FILES_PER_TASK = 256


@dataclass(frozen=True)
class Scan:
    """What reading the audio gave.

    Attributes:
        fingerprints: Length and hash of each clip that could be read, by its path.
        damaged: What is wrong with each file that could not, by the path of its first clip.
    """

    fingerprints: dict[str, Fingerprint]
    damaged: dict[str, Problem]


def scan(clips: Sequence[Clip], audio_root: Path, sample_rate_hz: int, title: str) -> Scan:
    """Reads every clip once, with as many threads as there are processors, under a progress bar."""
    by_file: dict[str, list[Clip]] = {}
    for clip in clips:
        by_file.setdefault(clip.file, []).append(clip)
    result = Scan({}, {})
    files = list(by_file.values())
    parts = [files[start : start + _FILES_PER_TASK] for start in range(0, len(files), _FILES_PER_TASK)]
    for part in each_in_parallel(lambda part: _scan_files(part, audio_root, sample_rate_hz), parts, title, "files"):
        result.fingerprints.update(part.fingerprints)
        result.damaged.update(part.damaged)
    return result


def _scan_files(files: list[list[Clip]], audio_root: Path, sample_rate_hz: int) -> Scan:
    part = Scan({}, {})
    root = str(audio_root)
    for clips in files:
        excerpts = [Excerpt(clip.start_sample, clip.num_samples) for clip in clips]
        try:
            found = fingerprints(f"{root}/{clips[0].file}", excerpts, sample_rate_hz)
        except WavError as error:
            part.damaged[clips[0].path] = error.problem(clips[0].file)
        else:
            part.fingerprints.update({clip.path: result for clip, result in zip(clips, found, strict=True)})
    return part


def count_problems(manifest: Manifest, clips: Iterable[Clip]) -> list[Problem]:
    """Returns every split and label whose number of clips is not the manifest's, and every label without any."""
    counts: dict[tuple[str, str], int] = {}
    for clip in clips:
        counts[clip.split, clip.label] = counts.get((clip.split, clip.label), 0) + 1
    counted = {label for _, label in counts} | {label for split in manifest.expected.values() for label in split}
    without = [
        Problem(f"label {label}", "no clips in any split", "at least one")
        for label in manifest.labels
        if label not in counted
    ]
    return without + [
        Problem(f"{split}, label {label}", f"{counts.get((split, label), 0):,} clips", f"{expected:,}")
        for split in SPLITS
        for label, expected in manifest.expected.get(split, {}).items()
        if counts.get((split, label), 0) != expected
    ]


def prepare(
    manifest: Manifest, manifest_path: Path, audio_root: Path, places: Places, *, partial: bool = False
) -> PreparedDataset:
    """Writes `clips.csv`, and beside it the manifest and what was prepared from where.

    Args:
        manifest: The benchmark.
        manifest_path: Its file, a copy of which is kept with the table.
        audio_root: Folder with the audio, in the layout that the manifest describes.
        places: Where the result goes.
        partial: Accept audio that is only a part of the benchmark.

    Raises:
        InputError: Clips are damaged, or this is no such audio as the manifest says; nothing is written.
        CheckFailedError: The counts are not the manifest's, and `partial` is not set.
    """
    clips = list_clips(manifest, audio_root)
    if not clips:
        raise InputError(
            f"no clips of {manifest.name} in {audio_root}: it holds none of the folders that the manifest names"
        )
    scanned = scan(clips, audio_root, manifest.sample_rate_hz, f"preparing {manifest.name}")
    _refuse_damaged(scanned.damaged, manifest, audio_root)
    differences = count_problems(manifest, clips)
    if differences and not partial:
        raise CheckFailedError(
            f"{audio_root} does not hold the clips that {manifest.name} expects; nothing was written."
            " With --partial it is prepared as it is",
            differences,
        )
    dataset = PreparedDataset(manifest, places.folder(manifest), audio_root, not differences)
    _write(dataset, manifest_path, _rows(clips, scanned, manifest))
    return dataset


def _refuse_damaged(damaged: dict[str, Problem], manifest: Manifest, audio_root: Path) -> None:
    if damaged:
        log = ProblemLog(keep=10)
        for problem in damaged.values():
            log.add(problem.found, problem)
        raise InputError(f"{len(damaged)} clips of {manifest.name} in {audio_root} cannot be used", log.problems())


def _rows(clips: Iterable[Clip], scanned: Scan, manifest: Manifest) -> list[list[str]]:
    own_id = manifest.id_column != "path"
    rows = []
    for clip in clips:
        found = scanned.fingerprints[clip.path]
        row = [
            clip.path,
            clip.label,
            clip.split,
            clip.speaker_id,
            str(clip.start_sample),
            str(found.num_samples),
            clip.gain,
            found.pcm_sha256,
        ]
        rows.append([*row, clip.clip_id] if own_id else row)
    return rows


def _write(dataset: PreparedDataset, manifest_path: Path, rows: list[list[str]]) -> None:
    manifest, folder = dataset.manifest, dataset.folder
    own_id = [manifest.id_column] if manifest.id_column != "path" else []
    text = manifest_path.read_text(encoding="utf-8-sig")
    with replacing_all() as stage:
        pl.DataFrame(rows, schema=[*CLIP_COLUMNS, *own_id], orient="row").write_csv(stage(folder / "clips.csv"))
        stage(folder / "manifest.toml").write_text(text, encoding="utf-8")
        stage(folder / DESCRIPTION).write_text(json.dumps(_state(dataset), indent=2) + "\n", encoding="utf-8")


def _state(dataset: PreparedDataset) -> dict[str, str | int | bool]:
    root, folder = dataset.audio_root.resolve(), dataset.folder.resolve()
    inside = root.is_relative_to(folder.parent)
    return {
        "audio_root": os.path.relpath(root, folder) if inside else str(root),
        "complete": dataset.complete,
        "manifest": dataset.manifest.name,
        "revision": dataset.manifest.revision,
        "kwsbench_version": __version__,
    }


def split_counts(dataset: PreparedDataset) -> dict[Split, dict[str, int]]:
    """Returns how many clips of each label each split of a prepared data set has, labels in the manifest's order."""
    found = {
        (split, label): count for split, label, count in dataset.clips.group_by("split", "label").len().iter_rows()
    }
    labels = [*dataset.manifest.labels, ""]
    return {split: {label: found[split, label] for label in labels if (split, label) in found} for split in SPLITS}

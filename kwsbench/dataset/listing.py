"""Which clips a manifest stands for, found in the audio root: paths, labels, splits, speakers, draws."""

from __future__ import annotations

import csv
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kwsbench.dataset.draw import draw_silence, draw_unknown, num_to_draw
from kwsbench.dataset.splits import split_rule
from kwsbench.dataset.wav import WavError, read_pcm
from kwsbench.errors import InputError, Problem, ProblemLog, did_you_mean
from kwsbench.manifest import CsvSource, DrawSilence, DrawUnknown, FolderSource, Manifest, Split


@dataclass(frozen=True)
class Clip:
    """A clip before its audio is read.

    Attributes:
        file: Path of the audio file, relative to the audio root.
        label: Its label; empty where the labels are the host's secret.
        split: Its split.
        speaker_id: Who speaks; empty where nobody knows.
        start_sample: First sample in the file.
        num_samples: Length in samples, or None for all of the file.
        gain: Factor to play it at, as text.
        clip_id: The id where the manifest's id column is not `path`.
    """

    file: str
    label: str
    split: Split
    speaker_id: str = ""
    start_sample: int = 0
    num_samples: int | None = None
    gain: str = "1"
    clip_id: str = ""

    @property
    def path(self) -> str:
        """The unique name of the clip: its file, and its first sample where it is a stretch of a longer file."""
        return self.file if self.num_samples is None else f"{self.file}#{self.start_sample}"


def list_clips(manifest: Manifest, audio_root: Path) -> list[Clip]:
    """Returns every clip of the benchmark, in the order of split and path.

    Raises:
        InputError: An archive's folder, a list or a CSV that the manifest names is not there, a CSV has wrong rows,
            or a clip is there twice.
    """
    clips = source_clips(manifest, audio_root)
    counts = _keyword_counts(clips, manifest)
    if manifest.unknown:
        clips += _unknown(manifest.unknown, manifest, audio_root, counts)
    if manifest.silence:
        clips += _silence(manifest.silence, manifest, audio_root, counts)
    _check_once(clips, manifest)
    return [_with_speaker(clip, manifest) for clip in sorted(clips, key=lambda clip: (clip.split, clip.path))]


def source_clips(manifest: Manifest, audio_root: Path) -> list[Clip]:
    """Returns the clips that the sources list, without those that are drawn. Raises as `list_clips` does."""
    clips = [clip for source in manifest.sources for clip in _of_source(source, manifest, audio_root)]
    _check_once(clips, manifest)
    return clips


def wav_files(folder: Path) -> list[str]:
    """Returns the WAV files below `folder`, relative to it, in the order of their names; hidden ones left out.

    Raises:
        InputError: A folder cannot be read, or a name is no UTF-8 text. A missing `folder` holds no files.
    """
    found = []
    for parent, folders, files in os.walk(folder, onerror=_refuse_unless_missing):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        prefix = Path(parent).relative_to(folder).as_posix() + "/" if parent != str(folder) else ""
        found += [prefix + name for name in files if name.lower().endswith(".wav") and not name.startswith(".")]
    if odd := sorted(name for name in found if not name.isascii() and name.encode(errors="ignore").decode() != name):
        problem = Problem(str(folder), f"the name {odd[0]!a}", "UTF-8 text", "rename it", len(odd))
        raise InputError(f"file names in {folder} cannot be written to a table", [problem])
    return sorted(found)


def _refuse_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise InputError(f"cannot read the folder {error.filename}: {error.strerror}") from error


def archive_root(manifest: Manifest, audio_root: Path, archive: str) -> Path:
    """Returns the folder that an archive's files lie in.

    Raises:
        InputError: It is not there.
    """
    root = audio_root / manifest.path_prefix(archive)
    if not root.is_dir():
        raise InputError(f"no folder {root}: the audio of {archive!r} is not there", [_no_audio(manifest, archive)])
    return root


def how_to_get(manifest: Manifest, archive: str) -> str:
    """Returns what a person has to do to get the audio of an archive, as the remedy of a problem."""
    if manifest.synthesis:
        return f"run `kwsbench data synth {manifest.name}`"
    manual = [entry.manual for entry in manifest.archives if entry.folder == archive and entry.manual]
    return (
        manual[0].strip() if manual else f"run `kwsbench data fetch {manifest.name}`, or name what you have with --from"
    )


def _no_audio(manifest: Manifest, archive: str) -> Problem:
    return Problem(archive, "no audio", "its clips", how_to_get(manifest, archive))


def _of_source(source: FolderSource | CsvSource, manifest: Manifest, audio_root: Path) -> list[Clip]:
    root = archive_root(manifest, audio_root, source.archive)
    prefix = manifest.path_prefix(source.archive)
    if isinstance(source, CsvSource):
        return list(_of_table(source, manifest, root, prefix))
    return list(_of_folders(source, manifest, root, prefix))


def _of_folders(source: FolderSource, manifest: Manifest, root: Path, prefix: str) -> Iterator[Clip]:
    split_of = split_rule(source.split, root)
    labels = set(source.labels or manifest.labels)
    by_split = source.split.rule == "folder"
    folders = [f"{split}/{label}" for split in source.keep for label in labels] if by_split else labels
    for folder in sorted(folders):
        for name in wav_files(root / folder):
            path = f"{folder}/{name}"
            split = split_of(path)
            if split in source.keep:
                yield Clip(prefix + path, folder.rpartition("/")[2], split)


def _of_table(source: CsvSource, manifest: Manifest, root: Path, prefix: str) -> Iterator[Clip]:
    parent = source.table.rpartition("/")[0]
    folder = f"{prefix}{parent}/" if parent else prefix
    log = ProblemLog()
    for number, (line, row) in enumerate(_rows(source, root / source.table)):
        where = f"{source.table}, line {line}"
        label = "" if source.host_labels else row[source.label_column]
        if not source.host_labels and label not in manifest.labels:
            known = f"one of {', '.join(manifest.labels)}"
            log.add("label", Problem(where, f"the label {label!r}", known, did_you_mean(label, manifest.labels)))
        path = row[source.path_column]
        if not path or path.startswith("/") or ".." in path.split("/"):
            log.add("path", Problem(where, f"the path {path!r}", f"a path below the folder of {source.table}"))
        clip_id = row[source.id_column] if source.id_column else str(number)
        if not clip_id:
            log.add("id", Problem(where, f"an empty {source.id_column}", "the id of the clip"))
        file = folder + posixpath.normpath(path)
        yield Clip(file, label, source.split, clip_id="" if manifest.id_column == "path" else clip_id)
    if len(log):
        raise InputError(f"{root / source.table} has {len(log)} wrong rows", log.problems())


def _rows(source: CsvSource, path: Path) -> list[tuple[int, dict[str, str]]]:
    """Each row with the line that it ends on."""
    label_column = None if source.host_labels else source.label_column
    needed = [column for column in (source.path_column, label_column, source.id_column) if column]
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle, restval="")
            columns = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot read the table {path}: {reason}") from error
    if not set(needed) <= set(columns):
        found = ", ".join(columns) or "an empty file"
        raise InputError(
            f"{path} lacks a column", [Problem(f"{path}, line 1", found, f"the columns {', '.join(needed)}")]
        )
    return rows


def _unknown(draw: DrawUnknown, manifest: Manifest, audio_root: Path, counts: dict[Split, int]) -> Iterator[Clip]:
    root = archive_root(manifest, audio_root, draw.archive)
    rule = next(
        source.split
        for source in manifest.sources
        if isinstance(source, FolderSource) and source.archive == draw.archive
    )
    split_of = split_rule(rule, root)
    pool: dict[Split, list[str]] = {split: [] for split in draw.splits}
    for folder in draw.folders:
        for name in wav_files(root / folder):
            pool.get(split_of(f"{folder}/{name}"), []).append(f"{folder}/{name}")
    for split, paths in pool.items():
        for path in draw_unknown(paths, num_to_draw(draw.fraction, counts.get(split, 0))):
            yield Clip(manifest.path_prefix(draw.archive) + path, draw.label, split)


def _silence(draw: DrawSilence, manifest: Manifest, audio_root: Path, counts: dict[Split, int]) -> Iterator[Clip]:
    root = archive_root(manifest, audio_root, draw.archive)
    noise: dict[str, int] = {}
    log = ProblemLog()
    for name in wav_files(root / draw.folder):
        path = f"{draw.folder}/{name}"
        try:
            noise[path] = len(read_pcm(root / path, manifest.sample_rate_hz)) // 2
        except WavError as error:
            log.add("noise", error.problem(path))
    if len(log) or not noise:
        raise InputError(
            f"the background noise in {root / draw.folder} cannot be used",
            log.problems() or [_no_audio(manifest, draw.archive)],
        )
    for split in draw.splits:
        count = num_to_draw(draw.fraction, counts.get(split, 0))
        for cut in draw_silence(noise, draw, split, count, manifest.clip_samples):
            file = manifest.path_prefix(draw.archive) + cut.path
            yield Clip(file, draw.label, split, "", cut.start_sample, manifest.clip_samples, f"{cut.gain:g}")


def _keyword_counts(clips: Iterable[Clip], manifest: Manifest) -> dict[Split, int]:
    counts: dict[Split, int] = {}
    for clip in clips:
        if clip.label in manifest.keywords:
            counts[clip.split] = counts.get(clip.split, 0) + 1
    return counts


def _check_once(clips: Iterable[Clip], manifest: Manifest) -> None:
    by_path: dict[str, Clip] = {}
    by_id: dict[tuple[str, str], Clip] = {}
    log = ProblemLog()
    for clip in clips:
        other = by_path.setdefault(clip.path, clip)
        if other is not clip:
            found = f"the clip in the split {other.split} and again in {clip.split}"
            log.add("twice", Problem(clip.path, found, "each clip once", "mend the lists or the manifest"))
        elif clip.clip_id and (same := by_id.setdefault((clip.split, clip.clip_id), clip)) is not clip:
            found = f"the {manifest.id_column} {clip.clip_id!r}, which {same.path} has too"
            log.add("id", Problem(clip.path, found, "each id once in a split"))
    if len(log):
        raise InputError(
            f"the manifest {manifest.name} lists {len(log)} clips twice, which makes overlapping splits", log.problems()
        )


def _with_speaker(clip: Clip, manifest: Manifest) -> Clip:
    if manifest.speaker_pattern is None or clip.num_samples is not None:
        return clip
    match = re.search(manifest.speaker_pattern, clip.file)
    return replace(clip, speaker_id=match["speaker"] or "") if match else clip

"""Holds the audio against `clips.csv`: missing, extra and damaged clips, and leaks between the splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from kwsbench.dataset.clips import PreparedDataset, audio_file
from kwsbench.dataset.listing import Clip, source_clips
from kwsbench.dataset.prepare import Scan, count_problems, scan
from kwsbench.errors import Problem, ProblemLog


@dataclass(frozen=True)
class Verification:
    """What is wrong with a prepared data set, by kind; nothing where all lists are empty.

    Attributes:
        num_clips: Clips in the table.
        missing: Clips whose audio is not there.
        damaged: Clips whose audio is not what was prepared.
        extra: Audio files in the label folders that are not in the table.
        duplicates: The same audio in two splits.
        speakers: Speakers in two splits.
        counts: Splits and labels whose count is not the manifest's; not looked at where a part was prepared on purpose.
    """

    num_clips: int
    missing: list[Problem]
    damaged: list[Problem]
    extra: list[Problem]
    duplicates: list[Problem]
    speakers: list[Problem]
    counts: list[Problem]

    @property
    def checks(self) -> dict[str, list[Problem]]:
        """What was checked, in words, and what was found."""
        return {
            "missing clips": self.missing,
            "damaged clips": self.damaged,
            "clips that are not in the table": self.extra,
            "the same audio in two splits": self.duplicates,
            "a speaker in two splits": self.speakers,
            "counts that are not the manifest's": self.counts,
        }

    @property
    def problems(self) -> list[Problem]:
        """All of them."""
        return [problem for found in self.checks.values() for problem in found]

    def first_problems(self) -> list[Problem]:
        """The first few of each kind, with the count of the rest."""
        log = ProblemLog(keep=5)
        for check, found in self.checks.items():
            for problem in found:
                log.add(check, problem)
        return log.problems()


def verify(dataset: PreparedDataset) -> Verification:
    """Reads every clip again and holds the data set against its table and its manifest."""
    rows = dataset.clips.sort("split", "path")
    clips = [_clip(*row) for row in rows.select("path", "label", "split", "start_sample", "num_samples").iter_rows()]
    scanned = scan(clips, dataset.audio_root, dataset.manifest.sample_rate_hz, f"verifying {dataset.manifest.name}")
    missing = [problem for problem in scanned.damaged.values() if problem.found == "no such file"]
    damaged = [problem for problem in scanned.damaged.values() if problem.found != "no such file"]
    return Verification(
        num_clips=len(rows),
        missing=missing,
        damaged=damaged + list(_changed(rows, scanned)),
        extra=list(_extra(dataset, rows)),
        duplicates=list(_shared(rows.filter(pl.col("pcm_sha256") != ""), "pcm_sha256", "the same audio")),
        speakers=list(_shared(rows.filter(pl.col("speaker_id") != ""), "speaker_id", "the speaker")),
        counts=count_problems(dataset.manifest, clips) if dataset.complete else [],
    )


def _clip(path: str, label: str, split: str, start_sample: int, num_samples: int) -> Clip:
    whole = audio_file(path) == path
    return Clip(audio_file(path), label, split, "", start_sample, None if whole else num_samples)  # type: ignore[arg-type]


def _changed(rows: pl.DataFrame, scanned: Scan) -> Iterator[Problem]:
    for path, num_samples, pcm_sha256 in rows.select("path", "num_samples", "pcm_sha256").iter_rows():
        found = scanned.fingerprints.get(path)
        if found is not None and found.pcm_sha256 != pcm_sha256:
            shown = f"{found.num_samples:,} samples with hash {found.pcm_sha256[:12]}"
            expected = f"{num_samples:,} with {pcm_sha256[:12]}, as prepared"
            yield Problem(path, shown, expected, "unpack the audio again, or prepare it anew if the change is meant")


def _extra(dataset: PreparedDataset, rows: pl.DataFrame) -> Iterator[Problem]:
    """Clips that the sources list today; the other words to draw from are a pool that may grow."""
    known = {audio_file(path) for path in rows["path"]}
    for clip in source_clips(dataset.manifest, dataset.audio_root):
        if clip.file not in known:
            yield Problem(clip.file, "a clip", "none: it is not in clips.csv", "remove it, or prepare anew")


def _shared(rows: pl.DataFrame, column: str, what: str) -> Iterator[Problem]:
    groups = rows.group_by(column).agg("split", "path").filter(pl.col("split").list.n_unique() > 1)
    for value, splits, paths in groups.sort(pl.col("path").list.first()).iter_rows():
        first = splits.index(next(split for split in splits if split != splits[0]))
        name = f" {value}" if column == "speaker_id" else ""
        found = f"{what}{name} in {splits[0]} and in {splits[first]} ({paths[first]})"
        yield Problem(paths[0], found, "each in one split", "a result on this test split is too good", len(splits) - 1)

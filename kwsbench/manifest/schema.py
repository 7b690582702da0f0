"""The manifest as a whole, and how its parts must fit together."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, model_validator

from kwsbench.front_end import FrontEnd
from kwsbench.manifest.draws import DrawSilence, DrawUnknown
from kwsbench.manifest.fields import Label, Sha256, Split, Table
from kwsbench.manifest.sources import Archive, CsvSource, FolderSource, Source, WholeRule
from kwsbench.manifest.synthesis import Synthesis

_NAME = r"^[a-z0-9][a-z0-9_]*$"
_TAKEN_COLUMNS = ("label", "split", "speaker_id", "start_sample", "num_samples", "gain", "pcm_sha256")


class Budget(Table):
    """Limits that the benchmark sets: stored parameters, and MACs for one second of audio."""

    max_params: int | None = Field(default=None, gt=0)
    max_macs: int | None = Field(default=None, gt=0)


class Manifest(Table):
    """A benchmark: which clips, which labels, which splits, which limits."""

    name: str = Field(pattern=_NAME)
    revision: int = Field(ge=1)
    title: str
    description: str
    source: str
    citation: str
    licence: str
    languages: tuple[str, ...] = Field(min_length=1)
    sample_rate_hz: int = Field(gt=0, le=768_000)
    clip_length_s: float = Field(gt=0, le=600)
    keywords: tuple[Label, ...] = Field(min_length=1)
    background_labels: tuple[Label, ...]
    id_column: str = "path"
    speaker_pattern: str | None = None
    archives: tuple[Archive, ...] = ()
    sources: tuple[Source, ...] = Field(min_length=1)
    unknown: DrawUnknown | None = None
    silence: DrawSilence | None = None
    synthesis: Synthesis | None = None
    front_end: FrontEnd
    budget: Budget = Budget()
    expected: dict[Split, dict[Label, Annotated[int, Field(ge=0)]]] = Field(default_factory=dict)
    clips_sha256: Sha256 | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels: the keywords, then the background labels."""
        return self.keywords + self.background_labels

    @property
    def clip_samples(self) -> int:
        """Length of a clip in samples."""
        return round(self.clip_length_s * self.sample_rate_hz)

    def path_prefix(self, archive: str) -> str:
        """Returns what the paths of an archive begin with: nothing where it is the only one, else `FOLDER/`."""
        return f"{archive}/" if len(self.archives) > 1 else ""

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> Self:
        for label in self.labels:
            if self.labels.count(label) > 1:
                raise ValueError(f"the label {label!r} appears twice in keywords and background_labels")
        return self

    @model_validator(mode="after")
    def _speaker_pattern_compiles(self) -> Self:
        if self.speaker_pattern is not None:
            try:
                groups = re.compile(self.speaker_pattern).groupindex
            except re.error as error:
                raise ValueError(f"speaker_pattern is no regular expression: {error}") from error
            if "speaker" not in groups:
                raise ValueError("speaker_pattern needs a group (?P<speaker>...)")
        return self

    @model_validator(mode="after")
    def _names_refer_to_something(self) -> Self:
        folders = {archive.folder for archive in self.archives}
        parts = [*self.sources, *(draw for draw in (self.unknown, self.silence) if draw)]
        if (self.synthesis is None) != bool(folders):
            raise ValueError("a manifest has either [[archives]] or [synthesis]")
        for part in parts:
            if folders and part.archive not in folders:
                raise ValueError(f"archive {part.archive!r} is not among [[archives]]: {', '.join(sorted(folders))}")
        for draw in (self.unknown, self.silence):
            if draw and draw.label not in self.background_labels:
                raise ValueError(f"the label {draw.label!r} is not among background_labels")
        for place, labels in (
            ("[expected]", {label for counts in self.expected.values() for label in counts}),
            ("[[sources]]", {label for source in self._folder_sources() for label in source.labels or ()}),
        ):
            if unexpected := sorted(labels - set(self.labels)):
                raise ValueError(f"{place} names the label {unexpected[0]!r}, which the manifest does not have")
        return self

    @model_validator(mode="after")
    def _archives_are_distinct(self) -> Self:
        for names in ([archive.folder for archive in self.archives], [archive.file for archive in self.archives]):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two [[archives]] are called {twice[0]!r}")
        return self

    @model_validator(mode="after")
    def _unknown_words_are_no_labels(self) -> Self:
        if self.unknown is None:
            return self
        beside = [source for source in self._folder_sources() if source.archive == self.unknown.archive]
        if not beside:
            raise ValueError("[unknown] takes the split rule of a folder source of its archive, and there is none")
        taken = {label for source in beside for label in source.labels or self.labels}
        if both := sorted(taken & set(self.unknown.folders)):
            raise ValueError(f"[unknown] draws from the folder {both[0]!r}, which is the label of a source")
        return self

    @model_validator(mode="after")
    def _id_column_is_filled(self) -> Self:
        if self.id_column in _TAKEN_COLUMNS or not re.fullmatch(r"\w+", self.id_column):
            raise ValueError(f"id_column {self.id_column!r} is the name of another column, or no name for one")
        if self.id_column != "path" and (self._folder_sources() or self.unknown or self.silence):
            raise ValueError("only clips that are listed in a CSV have another id than their path")
        return self

    @model_validator(mode="after")
    def _front_end_fits_the_clips(self) -> Self:
        half_hz, front_end = self.sample_rate_hz / 2, self.front_end
        if not front_end.f_min_hz < (front_end.f_max_hz or half_hz) <= half_hz:
            raise ValueError(f"[front_end] has bands that do not fit below half the sample rate, {half_hz:g} Hz")
        try:
            front_end.require_clips_of(self.clip_samples)
        except ValueError as error:
            raise ValueError(f"[front_end] {error}") from error
        return self

    def _folder_sources(self) -> list[FolderSource]:
        return [source for source in self.sources if isinstance(source, FolderSource)]

    @model_validator(mode="after")
    def _splits_do_not_overlap(self) -> Self:
        whole: dict[str, set[str]] = {}
        tables: dict[tuple[str, str], str] = {}
        for source in self.sources:
            if isinstance(source, CsvSource):
                first = tables.setdefault((source.archive, source.table), source.split)
                if first != source.split:
                    raise ValueError(f"overlapping splits: {source.table} is listed for {first} and {source.split}")
            elif isinstance(source.split, WholeRule):
                whole.setdefault(source.archive, set()).add(source.split.split)
        for archive, splits in whole.items():
            if len(splits) > 1:
                raise ValueError(f"overlapping splits: all of {archive!r} is given to {' and '.join(sorted(splits))}")
        return self

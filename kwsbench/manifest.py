"""The manifest: one TOML file that fixes everything a benchmark means.

A manifest is parsed once, at the edge, into the frozen types below; unknown fields are errors. Everything is
read as strings: `on`, `off`, `yes`, `no` are words and `00176480` is a name.

Paths: a clip's `path` is relative to the audio root. With one archive the audio root is the folder that the
archive unpacks into; with several it is the folder that holds one folder per archive, so that every path begins
with `Archive.folder`.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from kwsbench.errors import InputError, Problem, did_you_mean
from kwsbench.front_end import FrontEnd

Split = Literal["train", "validation", "test"]
"""The part of a benchmark that a clip belongs to."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_NAME = r"^[a-z0-9][a-z0-9_]*$"
_LABEL = r"^[^\s,;\"'/\\.][^\s,;\"'/\\]*$"  # also the name of a folder, so neither a path nor `..`
_SHA256 = r"^[0-9a-f]{64}$"
_TAKEN_COLUMNS = ("label", "split", "speaker_id", "start_sample", "num_samples", "gain", "pcm_sha256")

Label = Annotated[str, Field(pattern=_LABEL)]


def _relative_posix(path: str) -> str:
    parts = path.split("/")
    if "\\" in path or not path.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise ValueError("a relative path with forward slashes and without `..`")
    return path


RelativePath = Annotated[str, AfterValidator(_relative_posix)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Archive(_Table):
    """Where a part of the audio comes from.

    Attributes:
        folder: Name of the folder that the archive is unpacked into.
        file: File name of the archive; its ending says how it is packed.
        url: Where to download it; absent for a manual archive.
        num_bytes: Its size (`bytes` in TOML), where known.
        sha256: Its checksum, where known.
        checksum_note: Why there is no checksum; it is recorded at the first download then.
        manual: What a person has to do to get it, where a login is needed.
        inner_folder: Folder inside the archive that holds everything; it is left out of the paths.
    """

    folder: RelativePath
    file: RelativePath
    url: str | None = Field(default=None, pattern=r"^https?://")
    num_bytes: int | None = Field(default=None, alias="bytes", gt=0)
    sha256: str | None = Field(default=None, pattern=_SHA256)
    checksum_note: str | None = None
    manual: str | None = None
    inner_folder: RelativePath | None = None

    @model_validator(mode="after")
    def _obtainable(self) -> Self:
        if (self.url is None) == (self.manual is None):
            raise ValueError("an archive has either `url` or `manual`")
        if self.url is not None and self.sha256 is None and self.checksum_note is None:
            raise ValueError("an archive without `sha256` says why in `checksum_note`")
        return self


class ListsRule(_Table):
    """Splits by official lists: files with one clip path per line; a clip on no list is for training."""

    rule: Literal["lists"]
    validation: RelativePath
    test: RelativePath


class HashRule(_Table):
    """Splits by the SHA-1 of the base name up to `_nohash_` (Warden, arXiv 1804.03209, section 5.2)."""

    rule: Literal["hash"]
    validation_percent: float = Field(ge=0, le=100)
    test_percent: float = Field(ge=0, le=100)

    @model_validator(mode="after")
    def _within_hundred(self) -> Self:
        if self.validation_percent + self.test_percent > 100:
            raise ValueError("validation_percent and test_percent overlap: together they are over 100")
        return self


class FolderRule(_Table):
    """Splits by the first folder of the path, which is named like a split: `train/yes/a.wav`."""

    rule: Literal["folder"]


class WholeRule(_Table):
    """Every clip of the source belongs to one split."""

    rule: Literal["whole"]
    split: Split


SplitRule = Annotated[ListsRule | HashRule | FolderRule | WholeRule, Field(discriminator="rule")]


class FolderSource(_Table):
    """Clips in folders that are named like their labels.

    Attributes:
        archive: `Archive.folder` of the archive that holds them.
        split: The rule that gives each clip its split.
        keep: Splits to take from this source; clips of other splits are left out.
        labels: Folders to take as labels of the same name; all labels of the manifest where absent.
    """

    layout: Literal["folders"]
    archive: RelativePath
    split: SplitRule
    keep: tuple[Split, ...] = Field(default=SPLITS, min_length=1)
    labels: tuple[Label, ...] | None = Field(default=None, min_length=1)


class CsvSource(_Table):
    """Clips listed in a CSV; their paths are relative to that CSV.

    Attributes:
        archive: `Archive.folder` of the archive that holds the CSV.
        table: Path of the CSV.
        split: The split that it lists.
        path_column: Column with the path.
        label_column: Column with the label.
        host_labels: The labels are the host's secret: the table has none.
        id_column: Column with the id where that is not the path; rows are numbered from 0 where absent.
    """

    layout: Literal["csv"]
    archive: RelativePath
    table: RelativePath
    split: Split
    path_column: str = "path"
    label_column: str = "label"
    host_labels: bool = False
    id_column: str | None = None


Source = Annotated[FolderSource | CsvSource, Field(discriminator="layout")]


class DrawUnknown(_Table):
    """How clips of other words become one background label, the same ones on every machine.

    Of the clips in `folders`, each split takes ceil(`fraction` x its number of keyword clips), those whose
    SHA-256 of `kwsbench unknown:PATH`, read as a little-endian number, is lowest.
    """

    label: Label
    archive: RelativePath
    folders: tuple[RelativePath, ...] = Field(min_length=1)
    fraction: float = Field(gt=0)
    splits: tuple[Split, ...] = Field(default=SPLITS, min_length=1)


class DrawSilence(_Table):
    """How stretches of background noise become one background label, the same ones on every machine.

    Each split has ceil(`fraction` x its number of keyword clips) stretches, cut from its own part of every noise
    file: the first 80 % of the time are for training, the next 10 % for validation, the last 10 % for the test, so
    that no sample is in two splits. File, start and gain come from the SHA-256 of `kwsbench silence:SPLIT:NUMBER`.
    """

    label: Label
    archive: RelativePath
    folder: RelativePath
    fraction: float = Field(gt=0)
    gain_min: float = Field(default=0.0, ge=0)
    gain_max: float = Field(default=1.0, gt=0, le=1)
    splits: tuple[Split, ...] = Field(default=SPLITS, min_length=1)

    @model_validator(mode="after")
    def _gain_goes_up(self) -> Self:
        if self.gain_min > self.gain_max:
            raise ValueError(f"gain_min {self.gain_min} is over gain_max {self.gain_max}")
        return self


VoiceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+(\+[A-Za-z0-9_-]+)?$")]
"""A voice of espeak-ng: a language or accent, and where wanted a variant, as in `en-us+f3`."""


class Voices(_Table):
    """The synthetic speakers of one language, as espeak-ng names them; each is in one split only."""

    train: tuple[VoiceName, ...] = Field(min_length=1)
    validation: tuple[VoiceName, ...] = Field(min_length=1)
    test: tuple[VoiceName, ...] = Field(min_length=1)


class SpokenWord(_Table):
    """A word to synthesise: the label it becomes, the text that is spoken, and the language to speak it in."""

    label: Label
    text: str = Field(pattern=r"^[^\x00-\x1f]*\w[^\x00-\x1f]*$")
    language: str


class Synthesis(_Table):
    """How a data set is synthesised with espeak-ng instead of downloaded.

    Ranges include both ends; those in dB are in steps of 0.1 dB.

    Attributes:
        words: What is spoken.
        voices: Language to its voices, split by split.
        takes_per_word: How often each voice says each word, each time in another way.
        background_takes_per_word: The same for words of a background label.
        words_per_minute: Range of the speaking rate.
        pitch: Range of espeak-ng's pitch, 0 to 100.
        snr_db: Range of the signal-to-noise ratio: mean power of the word by mean power of the noise.
        shift_s: How far the middle of a word may be from the middle of its clip.
        silence_label: Label of clips with noise alone.
        silence_takes: How many of them each voice's share of the data holds.
        level_dbfs: Range of the peak level of clips with a word, in dB re full scale.
        silence_level_dbfs: The same for clips with noise alone.
        espeak_version: The version of espeak-ng that the clips are to come from; any where absent.
    """

    words: tuple[SpokenWord, ...] = Field(min_length=1)
    voices: dict[str, Voices]
    takes_per_word: int = Field(gt=0, le=100)
    background_takes_per_word: int = Field(gt=0, le=100)
    words_per_minute: tuple[Annotated[int, Field(ge=80)], Annotated[int, Field(le=450)]]
    pitch: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(le=100)]]
    snr_db: tuple[float, float]
    silence_label: Label
    silence_takes: int = Field(ge=0, le=100)
    shift_s: float = Field(default=0.1, ge=0)
    level_dbfs: tuple[float, Annotated[float, Field(le=0)]] = (-20.0, -1.0)
    silence_level_dbfs: tuple[float, Annotated[float, Field(le=0)]] = (-70.0, -6.0)
    espeak_version: str | None = None

    @model_validator(mode="after")
    def _ranges_go_up(self) -> Self:
        for name in ("words_per_minute", "pitch", "snr_db", "level_dbfs", "silence_level_dbfs"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"the range {name} begins at {low} and ends below it, at {high}")
        return self

    @model_validator(mode="after")
    def _languages_have_words_and_voices(self) -> Self:
        spoken = {word.language for word in self.words}
        for missing, languages in (("voices", spoken - set(self.voices)), ("words", set(self.voices) - spoken)):
            if languages:
                raise ValueError(f"no {missing} for the language {', '.join(sorted(languages))}")
        return self

    @model_validator(mode="after")
    def _each_word_and_voice_once(self) -> Self:
        words = [f"{word.text} ({word.language})" for word in self.words]
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(f"the word {', '.join(twice)} is there twice")
        voices = [voice for part in self.voices.values() for voice in (*part.train, *part.validation, *part.test)]
        twice = sorted({voice for voice in voices if voices.count(voice) > 1})
        if twice:
            raise ValueError(f"overlapping splits: the voice {', '.join(twice)} is in two of them, or in two languages")
        return self


class Budget(_Table):
    """Limits that the benchmark sets: stored parameters, and MACs for one second of audio."""

    max_params: int | None = Field(default=None, gt=0)
    max_macs: int | None = Field(default=None, gt=0)


class Manifest(_Table):
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
    clips_sha256: str | None = Field(default=None, pattern=_SHA256)

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
        if front_end.n_fft > self.clip_samples:
            raise ValueError(f"[front_end] has n_fft {front_end.n_fft}, and a clip has {self.clip_samples} samples")
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


def read_manifest(path: Path) -> Manifest:
    """Reads a manifest from its TOML file.

    Raises:
        InputError: The file cannot be read, is no TOML, or breaks the schema; every broken field is named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the manifest {path}: {_reason(error)}") from error
    return parse_manifest(text, str(path))


def parse_manifest(text: str, where: str) -> Manifest:
    """Parses the TOML text of a manifest; `where` names it in messages. Raises as `read_manifest` does."""
    try:
        table = _as_json(tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # tomllib also lets through what int() and nesting raise
        raise InputError(f"the manifest {where} is not valid TOML: {error}") from error
    try:
        return Manifest.model_validate_json(table)
    except ValidationError as error:
        problems = [_problem(where, detail) for detail in error.errors(include_url=False)]
        count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        raise InputError(f"the manifest {where} has {count}", problems) from error


def _as_json(table: dict[str, Any]) -> str:
    # pydantic's strict mode takes arrays as tuples from JSON, as TOML has no other sequence either.
    return json.dumps(table, default=str)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it is not UTF-8 text"


def _problem(where: str, detail: ErrorDetails) -> Problem:
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        model = _model_at(detail["loc"][:-1])
        return Problem(
            f"{where}, field {place}", "a field that no manifest has", "", did_you_mean(str(detail["loc"][-1]), model)
        )
    if detail["type"] == "missing":
        return Problem(f"{where}, field {place}", "nothing", "this field", "add it")
    message = detail["msg"].removeprefix("Value error, ")
    if isinstance(detail["input"], dict):
        return Problem(f"{where}, field {place}" if place else where, f"a contradiction: {message}")
    return Problem(f"{where}, field {place}", repr(detail["input"])[:80], message[0].lower() + message[1:])


def _model_at(location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields that a table at this place of the TOML may have."""
    tables: dict[str, list[type[BaseModel]]] = {
        "archives": [Archive],
        "sources": [FolderSource, CsvSource],
        "unknown": [DrawUnknown],
        "silence": [DrawSilence],
        "synthesis": [Synthesis],
        "budget": [Budget],
        "front_end": [FrontEnd],
        "words": [SpokenWord],
        "split": [ListsRule, HashRule, FolderRule, WholeRule],
    }
    named = [part for part in location if isinstance(part, str) and part in tables]
    models = tables[named[-1]] if named else [Manifest]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]

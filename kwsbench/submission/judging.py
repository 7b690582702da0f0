"""What a team's `validate` and a host's `verify` have in common: is this an entry, and what does it say.

`judge(folder, house)` never raises for what a team did wrong: it returns every problem with its remedy. Nothing of
an entry is run here, and neither torch nor LightGBM is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from kwsbench.budget.limits import FoundLimits
from kwsbench.budget.report import Limits
from kwsbench.catalogue import find_manifest
from kwsbench.checkpoint.model_file import Format, read_model_file
from kwsbench.dataset.clips import PreparedDataset, open_dataset
from kwsbench.dataset.places import places
from kwsbench.errors import InputError, Problem, RefusedError
from kwsbench.manifest import Manifest, Split
from kwsbench.predictions import Predictions, Truth, read_predictions
from kwsbench.runtime.definitions import read_definition
from kwsbench.score.evaluate import Bootstrap, Score, evaluate
from kwsbench.score.truth import TruthOptions, find_truth, from_dataset
from kwsbench.submission.folder import FORM, content_of, hashes_of, inventory_problems, is_sha256
from kwsbench.submission.names import quoted
from kwsbench.submission.record import Submission, read_submission, seal_problems
from kwsbench.submission.report import report_problems

_Stamp = tuple[int, int]
"""When a file was written, and its size."""

TIERS = {
    **dict.fromkeys((Format.KWSBENCH, Format.SAFETENSORS, Format.STATE_DICT, Format.LIGHTNING), 1),
    **dict.fromkeys((Format.ONNX, Format.LIGHTGBM), 2),
    **dict.fromkeys((Format.TORCHSCRIPT, Format.EXPORTED_PROGRAM), 3),
}
"""How far each format is trusted, as in the design: 1 runs in process, 2 is data, 3 runs in the sandbox only.

Weights with a definition in Python are of tier 3, too."""

WEIGHTS_ONLY = frozenset({Format.SAFETENSORS, Format.STATE_DICT, Format.LIGHTNING})
"""Formats that hold weights without their architecture."""


@dataclass(frozen=True)
class House:
    """Where entries are judged: the competition, and what lies on this machine.

    Attributes:
        manifest: The benchmark, by name or path; None takes each entry's own word for it, and looks the name up among
            what is shipped or prepared.
        limits: The most that a model may have; what they lack comes from the budget of the manifest.
        split: The split that is predicted.
        data: The data folder; None for `$KWSBENCH_DATA` or `data`.
        truth: A truth table, where there is no prepared data set or its labels are the host's.
        baselines: Folder of the baselines that models may name; None for the shipped ones.
    """

    manifest: str | None = None
    limits: FoundLimits = field(default_factory=lambda: FoundLimits(Limits()))
    split: Split = "test"
    data: Path | None = None
    truth: Path | None = None
    baselines: Path | None = None


@dataclass(frozen=True, eq=False)
class Terms:
    """What entries for one benchmark are held against.

    Attributes:
        manifest: The benchmark.
        split: The split that is predicted.
        clip_ids: Its clips; None where they are not known here, and rows are not checked.
        clips_sha256: Hash of `clips.csv`; None where it is not known.
        truth: What the clips are, in the order of `clip_ids`; None where it is not known.
        truth_sha256: Hash of what the truth comes from; empty without one.
        dataset: The prepared data set; None where there is none, and no model is run.
        why_not: Why something of this is missing, in words; empty where nothing is.
    """

    manifest: Manifest
    split: Split
    clip_ids: pl.Series | None
    clips_sha256: str | None
    truth: Truth | None
    truth_sha256: str
    dataset: PreparedDataset | None
    why_not: str = ""


def terms_of(house: House, manifest: str) -> Terms:
    """Finds what entries for a benchmark are held against; the same object as long as its files are the same.

    Args:
        house: Where they are judged.
        manifest: The benchmark, by name or path.

    Raises:
        InputError: There is no such manifest, or the truth that was named is not there or does not fit the data.
    """
    stamps, terms = _known.get((house, manifest), ((), None))
    if terms is None or stamps != _stamps(house, terms):
        terms = _find_terms(house, manifest)
        _known[house, manifest] = (_stamps(house, terms), terms)
    return terms


_known: dict[tuple[House, str], tuple[tuple[_Stamp | None, ...], Terms]] = {}


def _stamps(house: House, terms: Terms) -> tuple[_Stamp | None, ...]:
    table = places(house.data).folder(terms.manifest) / "clips.csv"
    return _stamp(table), _stamp(house.truth) if house.truth else None


def _stamp(path: Path) -> _Stamp | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_mtime_ns, info.st_size


def _find_terms(house: House, manifest: str) -> Terms:
    dataset, why_not = _dataset(house, manifest)
    known = dataset.manifest if dataset else find_manifest(manifest)[0]
    truth, truth_sha256 = _truth(house, manifest, dataset)
    clip_ids = truth.clip_ids if truth else dataset.split(house.split)[known.id_column] if dataset else None
    clips_sha256 = dataset.clips_sha256 if dataset else known.clips_sha256
    return Terms(known, house.split, clip_ids, clips_sha256, truth, truth_sha256, dataset, why_not)


def _dataset(house: House, manifest: str) -> tuple[PreparedDataset | None, str]:
    try:
        return open_dataset(manifest, places(house.data)), ""
    except InputError as error:
        if house.data is not None and house.truth is None:
            raise
        return None, error.message


def _truth(house: House, manifest: str, dataset: PreparedDataset | None) -> tuple[Truth | None, str]:
    if house.truth is None:
        try:
            source = from_dataset(dataset, house.split) if dataset else None
        except InputError:  # the labels are the host's
            source = None
        return (source.truth, source.data_sha256) if source else (None, "")
    named = manifest if dataset is None else str(dataset.folder / "manifest.toml")
    source = find_truth(house.truth, TruthOptions(places(house.data), named, house.split, house.truth))
    if dataset is None:
        return source.truth, source.data_sha256
    wanted = dataset.split(house.split)[dataset.manifest.id_column]
    return _in_order(source.truth, wanted, house.truth), source.data_sha256


def _in_order(truth: Truth, wanted: pl.Series, path: Path) -> Truth:
    """The truth in the order of the data set."""
    places_of = {clip_id: place for place, clip_id in enumerate(truth.clip_ids)}
    if set(places_of) != set(wanted):
        raise InputError(f"{path} is not the truth of the prepared data set: its clips are others")
    order = np.array([places_of[clip_id] for clip_id in wanted])
    return Truth(wanted, truth.labels, truth.num_keywords, truth.truth[order], truth.speakers[order])


@dataclass(frozen=True, eq=False)
class Judged:
    """What an entry is, as far as that can be said without running it.

    Attributes:
        folder: The entry.
        content_sha256: Hash of what was judged; empty where the folder cannot be listed.
        submission: What its form says; None where that cannot be read.
        terms: What it was held against; None without a submission.
        predictions: In the order of `terms.clip_ids`; None where they are not valid or that order is not known.
        format: What the model is; None where it cannot be read.
        refusal: Why the model is refused as unsafe; empty where it is not.
        problems: Everything that is wrong with the entry, each with its remedy.
    """

    folder: Path
    content_sha256: str
    submission: Submission | None = None
    terms: Terms | None = None
    predictions: Predictions | None = None
    format: Format | None = None
    refusal: str = ""
    problems: tuple[Problem, ...] = ()

    @property
    def tier(self) -> int | None:
        """How far the model is trusted; None where it cannot be read."""
        if self.format is None or self.submission is None:
            return None
        return 3 if self.submission.definition else TIERS[self.format]

    @property
    def accuracy(self) -> float | None:
        """Share of the clips whose label is right; None where that is not known."""
        if self.predictions is None or self.terms is None or self.terms.truth is None:
            return None
        return float((self.predictions.predicted == self.terms.truth.truth).mean())

    def score(self, bootstrap: Bootstrap | None = None) -> Score | None:
        """Returns every score with its interval; None where the predictions or the truth are not there."""
        if self.predictions is None or self.terms is None or self.terms.truth is None:
            return None
        return evaluate(self.terms.truth, self.predictions, bootstrap)


def judge(folder: Path, house: House) -> Judged:
    """Reads an entry and says everything that is wrong with it.

    An entry that changes meanwhile is told by its hash, which is taken before and after.

    Args:
        folder: `<team>/<entry>`.
        house: Where it is judged.

    Raises:
        InputError: What is wrong is the house's: no such manifest, no such data.
    """
    try:
        hashes = hashes_of(folder)
        judged = _Reader(folder, house, hashes).judged()
        changed = hashes_of(folder) != hashes
    except _HouseError as error:
        raise error.cause from error
    except InputError as error:
        return Judged(folder, "", problems=_problems_of(error, folder))
    if not changed:
        return judged
    problem = Problem(str(folder), "a change while it was read", "files at rest", "try again when nobody writes to it")
    return Judged(folder, judged.content_sha256, problems=(problem,))


class _HouseError(Exception):
    """What is wrong is not the entry's fault."""

    def __init__(self, cause: InputError) -> None:
        super().__init__(cause.message)
        self.cause = cause


class _Reader:
    """Reads the parts of one entry and collects what is wrong."""

    def __init__(self, folder: Path, house: House, hashes: dict[str, str]) -> None:
        self._folder, self._house, self._hashes = folder, house, hashes
        self._problems: list[Problem] = []

    def judged(self) -> Judged:
        content = content_of(self._hashes)
        try:
            submission = read_submission(self._folder)
        except InputError as error:
            return Judged(self._folder, content, problems=_problems_of(error, self._folder))
        self._problems += inventory_problems(self._folder, submission.files)
        self._problems += seal_problems(submission, self._hashes)
        terms = self._terms(submission)
        kind, refusal = self._model(submission)
        self._problems += self._definition_problems(submission, kind)
        predictions = self._predictions(submission, terms) if terms else None
        if self._is_there(submission.report):
            self._problems += report_problems(submission.report, list(self._hashes))
        parts = (submission, terms, predictions, kind, refusal)
        return Judged(self._folder, content, *parts, problems=tuple(self._problems))

    def _is_there(self, path: Path) -> bool:
        """Whether a file is there and fit to be read; where it is not, the inventory has said so."""
        return is_sha256(self._hashes.get(path.name, ""))

    def _terms(self, submission: Submission) -> Terms | None:
        house, where = self._house, f"{self._folder / FORM}, field"
        try:
            terms = terms_of(house, house.manifest or submission.manifest)
        except InputError as error:
            if house.manifest is not None:
                raise _HouseError(error) from error
            self._problems.append(Problem(f"{where} manifest", quoted(submission.manifest), "a benchmark", str(error)))
            return None
        wanted = {"manifest": terms.manifest.name, "split": terms.split, "clips_sha256": terms.clips_sha256}
        for name, expected in wanted.items():
            found = getattr(submission, name)
            if expected is not None and found != expected:
                remedy = f"predict for {terms.manifest.name}, as it is prepared today, with `kwsbench submission new`"
                self._problems.append(Problem(f"{where} {name}", repr(found), repr(expected), remedy))
        return terms

    def _model(self, submission: Submission) -> tuple[Format | None, str]:
        if not self._is_there(submission.model):
            return None, ""
        try:
            return read_model_file(submission.model).format, ""
        except RefusedError as error:
            return None, str(error)
        except InputError as error:
            self._problems += _problems_of(error, submission.model)
            return None, ""

    def _definition_problems(self, submission: Submission, kind: Format | None) -> tuple[Problem, ...]:
        if submission.definition is None or not self._is_there(submission.definition):
            return ()
        if kind is not None and kind not in WEIGHTS_ONLY:
            found = f"a definition beside a model that holds its own architecture ({kind})"
            return (Problem(str(submission.definition), found, "weights alone beside it", "leave one of them out"),)
        try:
            read_definition(submission.arch or "")
        except InputError as error:
            return _problems_of(error, submission.definition)
        return ()

    def _predictions(self, submission: Submission, terms: Terms) -> Predictions | None:
        if terms.clip_ids is None or not self._is_there(submission.predictions):
            return None
        labels, id_column = terms.manifest.labels, terms.manifest.id_column
        try:
            return read_predictions(submission.predictions, terms.clip_ids, labels, id_column)
        except InputError as error:
            self._problems += _problems_of(error, submission.predictions)
            return None


def _problems_of(error: InputError, path: Path) -> tuple[Problem, ...]:
    return error.problems or (Problem(str(path), f"this: {error.message}"),)

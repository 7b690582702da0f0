"""What an entry is and what became of it: plain records that the leaderboard is made from.

- `find_submissions(root)` lists folders; `read_submission(folder)` reads one, or raises InputError with every problem.
- `kwsbench.submission.judging.judge(folder, terms)` is what `validate` and `verify` have in common: it never raises
  for what a team did wrong, and returns the submission, its predictions and every problem.
- `kwsbench.submission.verify.verify_all(folders, options)` yields `(folder, Verification)` for many of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from kwsbench.errors import InputError, Problem
from kwsbench.submission.folder import FORM, content_sha256, find_submissions, is_sha256
from kwsbench.submission.form import Form, read_form
from kwsbench.submission.names import quoted, slug_problem

__all__ = [
    "Canary",
    "Submission",
    "Verdict",
    "Verification",
    "content_sha256",
    "find_submissions",
    "read_submission",
    "seal_problems",
]


@dataclass(frozen=True)
class Submission:
    """What a team handed in; the files are named, not read.

    Attributes:
        folder: `<team>/<entry>`.
        team: Name of the team's folder, a slug.
        entry: Name of the entry's folder, a slug.
        title: Free text of a stranger, at most 120 characters; nothing in it is hidden or turns its direction.
        members: Names of people, free text likewise.
        manifest: Name of the benchmark.
        clips_sha256: Hash of the `clips.csv` that the predictions belong to.
        split: The split that was predicted.
        submitted: When, with its offset from UTC.
        kwsbench: The version that wrote the form.
        model: Path of the model.
        predictions: Path of the predictions.
        report: Path of the report.
        sha256: SHA-256 of these files as they were when the entry was sealed.
        definition: Path of the Python file that defines the network of weights; None where the model holds its own.
        network: What in that file makes the network, a callable without arguments; None likewise.
    """

    folder: Path
    team: str
    entry: str
    title: str
    members: tuple[str, ...]
    manifest: str
    clips_sha256: str
    split: str
    submitted: datetime
    kwsbench: str
    model: Path
    predictions: Path
    report: Path
    sha256: Mapping[str, str]
    definition: Path | None = None
    network: str | None = None

    @property
    def key(self) -> str:
        """Team and entry, as in a path: `blue-owls/tc-small`."""
        return f"{self.team}/{self.entry}"

    @property
    def files(self) -> dict[str, str]:
        """What `model`, `predictions`, `report` and, where there is one, `definition` are called in the folder."""
        parts = {"model": self.model, "predictions": self.predictions, "report": self.report}
        parts |= {"definition": self.definition} if self.definition else {}
        return {part: path.name for part, path in parts.items()}

    @property
    def arch(self) -> str | None:
        """The network of weights as `check-budget --arch` takes it, `FILE.py:CALLABLE`; None where there is none."""
        return None if self.definition is None else f"{self.definition}:{self.network}"


def read_submission(folder: Path) -> Submission:
    """Reads the form of an entry, and holds it against what its folders are called. The files are not opened.

    Raises:
        InputError: The form cannot be read or breaks the schema, or the folder is called otherwise or is a link; every
            problem is named.
    """
    problems = list(_folder_problems(folder))
    form = None
    try:
        form = read_form(folder / FORM)
    except InputError as error:
        problems += error.problems or [Problem(str(folder / FORM), f"this: {error.message}")]
    else:
        problems += _name_problems(folder, form)
    if form is None or problems:
        raise InputError(f"{folder} is no entry", problems)
    return _submission(folder, form)


def _submission(folder: Path, form: Form) -> Submission:
    fields = form.model_dump(exclude={"files", "sha256"})
    paths: dict[str, Any] = {name: folder / file for name, file in form.files.named().items()}
    return Submission(folder=folder, **fields, **paths, sha256=form.sha256.model_dump(exclude_none=True))


def _folder_problems(folder: Path) -> list[Problem]:
    # Not resolved: a link must be seen as what it is.
    absolute = folder.absolute()
    named = (("the team's folder", absolute.parent), ("the entry's folder", absolute))
    misnamed = [problem for what, path in named if (problem := slug_problem(path.name, what))]
    return misnamed + [
        Problem(f"{what} {quoted(path.name)}", "a link", "a folder of its own", "put a copy of the folder there")
        for what, path in named
        if path.is_symlink()
    ]


def _name_problems(folder: Path, form: Form) -> list[Problem]:
    absolute, where = folder.absolute(), folder / FORM
    pairs = (("team", form.team, absolute.parent.name), ("entry", form.entry, absolute.name))
    return [
        Problem(f"{where}, field {field}", quoted(said), f"what the folder is called, {quoted(called)}", "correct it")
        for field, said, called in pairs
        if said != called
    ]


def seal_problems(submission: Submission, hashes: Mapping[str, str]) -> list[Problem]:
    """Returns which files of an entry are not those that were sealed.

    Args:
        submission: The entry.
        hashes: SHA-256 of its files by name; whatever is no such hash is passed over.
    """
    problems = []
    for part, name in submission.files.items():
        found, sealed = hashes.get(name, ""), submission.sha256.get(part, "")
        if is_sha256(found) and found != sealed:
            expected = f"the sealed one, {sealed[:12]}…" if sealed else "one that was sealed"
            remedy = f"if the change is meant, run `kwsbench submission seal {submission.folder}`"
            where = f"{submission.folder}/{name}"
            problems.append(Problem(where, f"another content, {found[:12]}…", expected, remedy))
    return problems


class Verdict(StrEnum):
    """What became of an entry, in words.

    VERIFIED: the model was run, gives these predictions, knows the words and not the clips, and keeps the limits.
    PREDICTIONS_ONLY: the predictions are valid, and the model was not or cannot be run; nothing backs them.
    MISMATCH: the model gives other predictions, or knows the clips instead of the words.
    OVER_BUDGET: the model gives these predictions and breaks a limit, or cannot be certified to keep it.
    REFUSED: running the model would be unsafe, or it crashed, or it did not end in time.
    INVALID: the entry is not what one must be.
    """

    VERIFIED = "verified"
    PREDICTIONS_ONLY = "predictions only"
    MISMATCH = "mismatch"
    OVER_BUDGET = "over budget"
    REFUSED = "refused"
    INVALID = "invalid"


@dataclass(frozen=True)
class Canary:
    """What a model makes of test clips that were changed so little that a person hears the same word.

    Attributes:
        name: How they were changed, in words; `as they are` are the same clips unchanged.
        num_clips: How many.
        num_label_changes: Clips whose label is another one than that of the unchanged clip.
        accuracy: Of the changed clips, in [0, 1]; None where the truth is not known.
    """

    name: str
    num_clips: int
    num_label_changes: int
    accuracy: float | None


@dataclass(frozen=True)
class Verification:
    """What came out of verifying an entry; `to_json` and `from_json` are inverse.

    Attributes:
        verdict: In two words at most.
        reason: In one sentence.
        tier: How far the model is trusted, 1 to 3 as in the design; None where it was not read.
        num_compared: Clips whose predictions were compared with the model's own.
        num_mismatches: Those that differ.
        mismatches: Ids of the first 20 of them, in the order of the data set.
        largest_score_difference: Over all clips and labels; None where no scores were compared.
        canaries: What the model makes of changed clips; empty where it did not run.
        report: The budget `Report` as JSON, with `params`, `macs`, `weight_bytes`, `layers`; None where none was made.
        content_sha256: `content_sha256` of the folder that was judged; empty where it cannot be listed.
        versions: Versions of kwsbench, Python and the libraries that ran the model.
        seconds: How long it took.
        accuracy: Share of the clips whose handed-in label is true; None where the truth is not known.
        problems: For an invalid entry, every problem with its remedy, one sentence each.
    """

    verdict: Verdict
    reason: str
    tier: int | None = None
    num_compared: int = 0
    num_mismatches: int = 0
    mismatches: tuple[str, ...] = ()
    largest_score_difference: float | None = None
    canaries: tuple[Canary, ...] = ()
    report: dict[str, Any] | None = None
    content_sha256: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    accuracy: float | None = None
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns the record as what `json.dumps` takes."""
        record = dataclasses.asdict(self) | {"verdict": str(self.verdict)}
        lists = {name: list(record[name]) for name in ("mismatches", "canaries", "problems")}
        return record | lists

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Returns what `to_json` was called on.

        Raises:
            ValueError: It is no such record.
        """
        try:
            canaries = tuple(Canary(**canary) for canary in record["canaries"])
            lists = {name: tuple(record[name]) for name in ("mismatches", "problems")}
            return cls(**{**record, **lists, "canaries": canaries, "verdict": Verdict(record["verdict"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"no record of a verification: {error}") from error

"""Makes an entry from a model file, and seals it again when its files have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kwsbench import __version__
from kwsbench.budget.report import Report
from kwsbench.checkpoint.model_file import Format, read_model_bytes, read_model_file
from kwsbench.dataset.whole_folder import replacing_folder
from kwsbench.errors import InputError, Problem
from kwsbench.files import replacing
from kwsbench.predict import predict_split
from kwsbench.runtime.definitions import read_definition
from kwsbench.submission.costing import count
from kwsbench.submission.folder import FORM, MAX_MODEL_BYTES, sha256_of_regular
from kwsbench.submission.form import Files, Form, Hashes, form_text, parse_form, read_form
from kwsbench.submission.judging import House, Terms, terms_of
from kwsbench.submission.names import case_twins, parse_key
from kwsbench.submission.report import report_template
from kwsbench.submission.rerun import open_for

_SUFFIXES = {
    Format.SAFETENSORS: ".safetensors",
    Format.LIGHTNING: ".ckpt",
    Format.EXPORTED_PROGRAM: ".pt2",
    Format.ONNX: ".onnx",
    Format.LIGHTGBM: ".txt",
}

_DEFINITION = "network.py"


@dataclass(frozen=True)
class Wish:
    """What somebody wants to hand in.

    Attributes:
        key: `TEAM/ENTRY`.
        model: The model file.
        root: Folder of the submissions.
        title: Title; the name of the entry where empty.
        members: Names of the team.
        arch: `FILE.py:CALLABLE`, where the model file holds weights only.
    """

    key: str
    model: Path
    root: Path
    title: str = ""
    members: tuple[str, ...] = ()
    arch: str | None = None


@dataclass(frozen=True)
class Scaffold:
    """An entry that was made.

    Attributes:
        folder: Where it lies.
        num_clips: Clips that were predicted.
        report: What its model costs.
    """

    folder: Path
    num_clips: int
    report: Report


def create(wish: Wish, house: House) -> Scaffold:
    """Makes an entry from a model: predictions, form, and a report to fill in; all of it or nothing.

    Args:
        wish: What is wanted.
        house: The benchmark, which must be named and prepared, and its limits.

    Raises:
        InputError: There is such an entry already, a name or text cannot be used, or the model cannot be run.
        RefusedError: Running the model would be unsafe.
    """
    team, entry = parse_key(wish.key)
    folder = wish.root / team / entry
    _require_free(folder)
    terms = terms_of(house, house.manifest or "")
    if terms.dataset is None or terms.clips_sha256 is None:
        raise InputError(f"{terms.manifest.name} cannot be predicted here: {terms.why_not}")
    kind, definition = read_model_file(wish.model).format, read_definition(wish.arch) if wish.arch else None
    files = Files(model=f"model{_SUFFIXES.get(kind, '.pt')}", definition=_DEFINITION if definition else None)
    draft = _draft(wish, terms, terms.clips_sha256, files, definition.name if definition else None)
    data = _read(wish.model)
    report = count(wish.model, terms, house, wish.arch)
    model = open_for(wish.model, terms.manifest, house.baselines, wish.arch)
    scores = predict_split(model, terms.dataset, terms.split)
    if {model.file.sha256, report.sha256} != {hashlib.sha256(data).hexdigest()}:
        raise InputError(f"{wish.model} changed while it was read; try again when it is complete")
    with replacing_folder(folder) as new:
        (new / files.model).write_bytes(data)
        if model.definition:
            (new / _DEFINITION).write_bytes(model.definition.source.encode())
        scores.write(new / files.predictions)
        text = report_template(draft.title, _facts(terms, report))
        (new / files.report).write_text(text, encoding="utf-8")
        (new / FORM).write_text(form_text(_sealed(draft, new)), encoding="utf-8")
        _require_free(folder)
    return Scaffold(folder, len(scores.clip_ids), report)


def _require_free(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise InputError(f"there is an entry at {folder} already; choose another name, or remove it first")
    for twin in case_twins(folder):
        raise InputError(f"{folder} differs from {twin} in case alone; choose another name")


def _draft(wish: Wish, terms: Terms, clips_sha256: str, files: Files, network: str | None) -> Form:
    team, entry = parse_key(wish.key)
    table = {
        "team": team,
        "entry": entry,
        "title": wish.title or entry,
        "members": wish.members,
        "manifest": terms.manifest.name,
        "clips_sha256": clips_sha256,
        "split": terms.split,
        "submitted": _now(),
        "kwsbench": __version__,
        "network": network,
        "files": files.model_dump(),
        "sha256": dict.fromkeys(files.named(), "0" * 64),
    }
    return parse_form(table, Path(FORM))


def _now() -> datetime:
    return datetime.now().astimezone().replace(microsecond=0)


def _read(model: Path) -> bytes:
    data = read_model_bytes(model)
    if len(data) > MAX_MODEL_BYTES:
        problem = Problem(str(model), f"{len(data):,} bytes", f"at most {MAX_MODEL_BYTES:,}", "hand in a smaller one")
        raise InputError("the model is too large for an entry", [problem])
    return data


def _facts(terms: Terms, report: Report) -> Sequence[str]:
    macs = "MACs do not apply" if report.macs is None else f"{report.macs:,} MACs for one second of audio"
    return (
        f"Benchmark: {terms.manifest.title} (`{terms.manifest.name}`, revision {terms.manifest.revision})",
        f"Costs: {report.params:,} parameters, {macs}, {report.weight_bytes:,} bytes of weights ({report.verdict})",
    )


def _sealed(form: Form, folder: Path) -> Form:
    hashes = {part: sha256_of_regular(folder / name) for part, name in form.files.named().items()}
    return form.model_copy(update={"sha256": Hashes(**hashes)})


def seal(folder: Path) -> Form:
    """Writes the hashes of an entry's files, and the time, into its form: the last thing before handing in.

    Raises:
        InputError: The form or a file cannot be read.
    """
    path = folder / FORM
    form = read_form(path)
    sealed = _sealed(form, folder)
    if sealed == form:
        return form
    sealed = sealed.model_copy(update={"submitted": _now()})
    with replacing(path) as temporary:
        temporary.write_text(form_text(sealed), encoding="utf-8")
    return sealed

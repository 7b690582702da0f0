"""The example entry of a new competition: whole, small, and the same answer to every clip."""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import datetime
from pathlib import Path

import numpy as np

from kwsbench import __version__
from kwsbench.errors import InputError
from kwsbench.manifest import Manifest
from kwsbench.predictions import write_predictions
from kwsbench.submission.folder import FORM
from kwsbench.submission.form import Files, Form, Hashes, form_text
from kwsbench.submission.judging import House, Terms, terms_of
from kwsbench.submission.report import SECTIONS

TEAM, ENTRY = "example", "first"
"""Folders of the example."""


def write_example(competition: Path, manifest: Manifest, data: Path | None) -> bool:
    """Writes `submissions/example/first`.

    Args:
        competition: The repository, with its manifest in `data_manifests/`.
        manifest: That manifest.
        data: The data folder; None for the default.

    Returns:
        Whether the clips are known here; where they are not, there is no prediction in it.
    """
    folder = competition / "submissions" / TEAM / ENTRY
    folder.mkdir(parents=True)
    terms = _terms(competition, manifest, data)
    clip_ids = None if terms is None else terms.clip_ids
    if clip_ids is None:
        (folder / "predictions.csv").write_text(f"{manifest.id_column},label\n", encoding="utf-8")
    else:
        write_predictions(folder / "predictions.csv", clip_ids, [manifest.labels[-1]] * len(clip_ids))
    (folder / "report.md").write_text(_report(), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(_model())
    clips_sha256 = (terms and terms.clips_sha256) or manifest.clips_sha256 or "0" * 64
    (folder / FORM).write_text(form_text(_form(folder, manifest, clips_sha256)), encoding="utf-8")
    return clip_ids is not None


def _terms(competition: Path, manifest: Manifest, data: Path | None) -> Terms | None:
    path = str(competition / "data_manifests" / f"{manifest.name}.toml")
    try:
        return terms_of(House(path, data=data), path)
    except InputError:  # nothing of it is prepared here
        return None


def _form(folder: Path, manifest: Manifest, clips_sha256: str) -> Form:
    files = Files(model="model.safetensors")
    hashes = {part: hashlib.sha256((folder / name).read_bytes()).hexdigest() for part, name in files.named().items()}
    return Form(
        team=TEAM,
        entry=ENTRY,
        title="An example that says the same of every clip",
        members=("Nobody",),
        manifest=manifest.name,
        clips_sha256=clips_sha256,
        split="test",
        submitted=datetime.now().astimezone().replace(microsecond=0),
        kwsbench=__version__,
        files=files,
        sha256=Hashes(**hashes),
    )


def _report() -> str:
    sections = "".join(f"## {name}\n\nNothing: this entry shows what one looks like.\n\n" for name in SECTIONS)
    return f"# An example\n\n{sections}"


def _model() -> bytes:
    """A safetensors file with two numbers."""
    weights = np.array([0.0, 1.0], dtype="<f4").tobytes()
    header = json.dumps({"bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, len(weights)]}}).encode()
    return struct.pack("<Q", len(header)) + header + weights

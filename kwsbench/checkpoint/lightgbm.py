r"""LightGBM models on disk: what they are, how they were made, and their trees, in one text file.

A LightGBM model is the text that LightGBM itself writes and reads, with one more line in its header:
`kwsbench=` and JSON in which `=` is written as `\u003d`. Loading it runs no code of the file's author.
"""

from __future__ import annotations

import hashlib
import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.header_reading import parse_header
from kwsbench.checkpoint.model_file import read_model_bytes
from kwsbench.errors import InputError
from kwsbench.extras import import_extra, require_installed
from kwsbench.files import replacing

_FIRST_LINE = "tree"
_KEY = "kwsbench="
_LIGHTGBM = ("lightgbm", "lightgbm", "LightGBM")


class LightgbmHeader(ModelHeader):
    """The header of a LightGBM model.

    Attributes:
        text_sha256: SHA-256 of the model as LightGBM writes it, UTF-8: LightGBM crashes on a damaged one.
    """

    text_sha256: str


@dataclass(frozen=True)
class LightgbmCheckpoint:
    """A LightGBM model: its header, and the text that LightGBM reads."""

    header: LightgbmHeader
    model_text: str


def sha256_of_text(model_text: str) -> str:
    """Returns the SHA-256 of a model as LightGBM writes it, as 64 hexadecimal digits."""
    return hashlib.sha256(model_text.encode()).hexdigest()


def save_lightgbm(path: Path, checkpoint: LightgbmCheckpoint) -> None:
    """Writes a model whole or not at all. Raises InputError where it cannot be written."""
    first, rest = checkpoint.model_text.split("\n", 1)
    header = checkpoint.header.model_dump_json().replace("=", "\\u003d")
    with replacing(path) as temporary:
        temporary.write_text(f"{first}\n{_KEY}{header}\n{rest}", encoding="utf-8")


def load_lightgbm(path: Path) -> LightgbmCheckpoint:
    """Reads a model.

    Raises:
        InputError: The file is missing, cut off, damaged, or no model that kwsbench trained.
    """
    return parse_lightgbm(path, read_model_bytes(path))


def parse_lightgbm(path: Path, data: bytes) -> LightgbmCheckpoint:
    """Reads a model from the bytes of its file, with line endings of any kind; `path` is for messages.

    Raises:
        InputError: As `load_lightgbm`.
    """
    try:
        text = io.IncrementalNewlineDecoder(None, translate=True).decode(data.decode("utf-8"), final=True)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no LightGBM text model: it is a binary file") from error
    first, _, rest = text.partition("\n")
    if first != _FIRST_LINE or "\nend of trees" not in rest:
        found = "it is cut off" if first == _FIRST_LINE else "it does not begin like one"
        raise InputError(f"{path} is no LightGBM text model: {found}; train it again with `kwsbench train`")
    if not rest.startswith(_KEY):
        raise InputError(
            f"{path} is a LightGBM model without kwsbench's header: its labels and front-end are not known; train it with `kwsbench train`"
        )
    line, _, rest = rest.partition("\n")
    header, model_text = parse_header(path, line.removeprefix(_KEY), LightgbmHeader), f"{first}\n{rest}"
    if header.text_sha256 != sha256_of_text(model_text):
        raise InputError(f"{path} is damaged: it is not what was written; copy it again, or train it again")
    return LightgbmCheckpoint(header, model_text)


def import_lightgbm() -> Any:
    """Imports LightGBM and keeps it from printing. Raises InputError that says how to install it, or what it lacks."""
    require_lightgbm_installed()
    try:
        lightgbm = import_extra(*_LIGHTGBM)
    except InputError as error:
        raise InputError(f"{error.message}; on Debian and Ubuntu `apt install libgomp1` helps") from error
    lightgbm.register_logger(logging.getLogger("kwsbench.lightgbm"))  # by itself it prints to stdout
    return lightgbm


def require_lightgbm_installed() -> None:
    """Raises InputError that says how to install LightGBM where it is missing, without loading it."""
    require_installed(*_LIGHTGBM)


def booster_of(checkpoint: LightgbmCheckpoint, path: Path) -> Any:
    """Returns the LightGBM booster of a model. Raises InputError where LightGBM is missing, or cannot read it."""
    lightgbm = import_lightgbm()
    try:
        return lightgbm.Booster(model_str=checkpoint.model_text)
    except lightgbm.basic.LightGBMError as error:
        raise InputError(f"LightGBM cannot read {path}: {lightgbm_reason(error)}") from error


def lightgbm_reason(error: Exception) -> str:
    """Returns what LightGBM says went wrong, without the line of its own source that it ends in."""
    return str(error).strip().partition(" at /")[0]


def label_scores(booster: Any, features: NDArray[np.float32], num_labels: int) -> NDArray[np.float64]:
    """Returns the probability of each label that a LightGBM booster gives, shape (clips, labels).

    Args:
        booster: The booster.
        features: Shape (clips, dimensions).
        num_labels: How many labels it has to tell apart.

    Raises:
        InputError: The model has other features or other labels, or its scores are no numbers.
    """
    if booster.num_feature() != features.shape[1]:
        raise InputError(
            f"the model takes {booster.num_feature()} features, and the baseline gives {features.shape[1]}"
        )
    scores = np.asarray(booster.predict(features), dtype=np.float64)
    if scores.shape != (len(features), num_labels):
        raise InputError(f"the model gives scores of shape {scores.shape}, expected ({len(features)}, {num_labels})")
    if not np.isfinite(scores).all():
        raise InputError("the model gives scores that are not finite numbers")
    return scores

"""The public and the private part of a test set, by a secret that was committed to before anybody handed in.

A speaker is private where HMAC-SHA256 of its id, with the key, falls into the lowest `share` of all values. So whole
speakers are on one side, nobody can tell which without the key, and nobody can change the split later: the hash of the
key is published on the first day. A clip whose speaker is unknown stands for itself.
"""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.errors import InputError
from kwsbench.leaderboard.rule_tables import Private, check_key
from kwsbench.predictions import Predictions, Truth

_WORD_BYTES = 8


def private_clips(truth: Truth, private: Private, key: str | None = None) -> NDArray[np.bool_]:
    """Returns which clips are private, shape (clips,).

    Args:
        truth: The clips and their speakers.
        private: How large the private part is, and the hash that the key must have.
        key: The key; None takes the one that is revealed in the rules.

    Raises:
        InputError: There is no key, it is not the one that was committed, or all clips are on one side.
    """
    secret = private.key if key is None else key
    if secret is None:
        raise InputError(
            "the key of the private part is not revealed; the host names the file that holds it with --key"
        )
    try:
        check_key(secret, private.key_sha256)
    except ValueError as error:
        raise InputError(f"the private part cannot be told from the public one: {error}") from error
    is_private = _is_private(_units(truth), private.share, secret)
    if is_private.all() or not is_private.any():
        side = "private" if is_private.all() else "public"
        raise InputError(f"with share = {private.share:g} all clips are {side}: too few speakers for two parts")
    return is_private


def _units(truth: Truth) -> pl.Series:
    """What is on one side as a whole: the speaker, or the clip itself where there is none."""
    names = pl.DataFrame({"clip": truth.clip_ids, "speaker": truth.speakers})
    speaker, clip = pl.format("speaker\0{}", pl.col("speaker")), pl.format("clip\0{}", pl.col("clip"))
    return names.select(pl.when(pl.col("speaker") != "").then(speaker).otherwise(clip).alias("unit"))["unit"]


def _is_private(units: pl.Series, share: float, key: str) -> NDArray[np.bool_]:
    secret, limit = key.encode(), int(share * 2 ** (8 * _WORD_BYTES))
    sides = {unit: _keyed_word(secret, unit) < limit for unit in units.unique()}
    return np.fromiter((sides[unit] for unit in units), dtype=np.bool_, count=len(units))


def _keyed_word(secret: bytes, unit: str) -> int:
    return int.from_bytes(hmac.digest(secret, unit.encode(), hashlib.sha256)[:_WORD_BYTES], "big")


def truth_of(truth: Truth, clips: NDArray[np.bool_]) -> Truth:
    """Returns the truth of some of the clips."""
    kept = pl.Series(clips)
    return Truth(
        clip_ids=truth.clip_ids.filter(kept),
        labels=truth.labels,
        num_keywords=truth.num_keywords,
        truth=truth.truth[clips],
        speakers=truth.speakers.filter(kept),
    )


def predictions_of(predictions: Predictions, clips: NDArray[np.bool_]) -> Predictions:
    """Returns the predictions for some of the clips."""
    scores = predictions.scores and tuple(column[clips] for column in predictions.scores)
    return Predictions(predictions.predicted[clips], scores)

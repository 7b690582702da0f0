"""Reads and scores one entry: all that a board needs of its folder, and nothing of its model is run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kwsbench import __version__
from kwsbench.errors import InputError
from kwsbench.leaderboard.coarse import coarse_score
from kwsbench.leaderboard.hidden import predictions_of, truth_of
from kwsbench.predictions import Predictions, Truth
from kwsbench.score.evaluate import Bootstrap, Score, evaluate
from kwsbench.submission.judging import House, Judged, Terms, terms_of
from kwsbench.submission.record import Submission

CURVE_REPLICATES = 100
"""Bootstrap replicates for the intervals of AUC and EER, which decide nothing here; all other figures have 1,000."""

_FORMAT = 3  # of what is kept; another number forgets all that was kept before


@dataclass(frozen=True, eq=False)
class Part:
    """The clips that scores are on.

    Attributes:
        clips: Which of all clips, shape (clips,).
        coarse: Figures are shown no finer than their standard error, because others are hidden.
    """

    clips: NDArray[np.bool_]
    coarse: bool = False


@dataclass(frozen=True, eq=False)
class Examined:
    """What was found in the folder of an entry.

    Attributes:
        content_sha256: Hash of its files; empty where they cannot be listed.
        submission: What its form says; None where that cannot be read.
        problems: Everything that is wrong with it, one sentence each; then it is not scored.
        refusal: Why its model is refused as unsafe; empty where it is not.
        tier: How far its model is trusted; None where it cannot be read.
        predicted: Codes of the predicted labels of all clips, shape (clips,); None without valid predictions.
        score: Scores on the part; None likewise.
    """

    content_sha256: str
    submission: Submission | None = None
    problems: tuple[str, ...] = ()
    refusal: str = ""
    tier: int | None = None
    predicted: NDArray[np.uint16] | None = None
    score: Score | None = None


@dataclass(frozen=True, eq=False)
class Ground:
    """What entries are examined on.

    Attributes:
        house: Where they are judged.
        part: The clips that scores are on; None for all.
    """

    house: House
    part: Part | None = None

    @cached_property
    def terms(self) -> Terms:
        """What entries are held against. Raises InputError where it is not there."""
        if self.house.manifest is None:
            raise InputError('the rules name no manifest; add manifest = "NAME" to competition.toml')
        return terms_of(self.house, self.house.manifest)

    @cached_property
    def truth(self) -> Truth:
        """What all clips are.

        Raises:
            InputError: Nobody has said.
        """
        terms = self.terms
        if terms.truth is None:
            why = f": {terms.why_not}" if terms.why_not else ", whose labels are the host's"
            remedy = 'name the data folder with --data, or add truth = "truth.csv" to competition.toml'
            raise InputError(f"there is no truth to score with in {terms.manifest.name}{why}; {remedy}")
        return terms.truth

    @property
    def hides(self) -> bool:
        """Whether figures are coarse because other clips are hidden."""
        return self.part is not None and self.part.coarse

    @cached_property
    def clips(self) -> NDArray[np.bool_]:
        """Which of all clips scores are on, shape (clips,)."""
        return np.ones(len(self.truth.truth), dtype=np.bool_) if self.part is None else self.part.clips

    @cached_property
    def shown_truth(self) -> Truth:
        """What the clips of the part are."""
        return self.truth if self.part is None else truth_of(self.truth, self.part.clips)

    def fingerprint(self) -> str:
        """Returns a hash of everything besides an entry that its examination depends on."""
        terms = self.terms
        facts = [
            _FORMAT,
            __version__,
            terms.manifest.model_dump_json(),
            terms.split,
            terms.clips_sha256,
            terms.truth_sha256,
            hashlib.sha256(self.clips.tobytes()).hexdigest(),
            self.hides,
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def examine(judged: Judged, ground: Ground) -> Examined:
    """Scores an entry that was judged."""
    found = Examined(
        judged.content_sha256,
        judged.submission,
        tuple(str(problem) for problem in judged.problems),
        judged.refusal,
        judged.tier,
    )
    if judged.problems or judged.predictions is None:
        return found
    predicted = judged.predictions.predicted.astype(np.uint16)
    return replace(found, predicted=predicted, score=score_of(judged.predictions, ground))


def score_of(predictions: Predictions, ground: Ground) -> Score:
    """Returns every score on the clips that are shown, as finely as they may be."""
    if ground.part is not None:
        predictions = predictions_of(predictions, ground.part.clips)
    score = _with_curves(evaluate(ground.shown_truth, Predictions(predictions.predicted, None)), predictions, ground)
    return coarse_score(score) if ground.hides else score


def _with_curves(score: Score, predictions: Predictions, ground: Ground) -> Score:
    if predictions.scores is None:
        return score
    curves = evaluate(ground.shown_truth, predictions, Bootstrap(CURVE_REPLICATES))
    return replace(curves, summary=(*score.summary, *curves.summary[len(score.summary) :]))

"""What a scored entry is on a board: its verdict, its figure, whether it is ranked, and why not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from kwsbench.leaderboard.admission import BASELINES, Arrival, late_days
from kwsbench.leaderboard.board import Entry, Estimate
from kwsbench.leaderboard.clip_costs import clip_costs, value_of
from kwsbench.leaderboard.examine import Examined, Ground
from kwsbench.leaderboard.finals import Candidate, not_final
from kwsbench.leaderboard.hidden import truth_of
from kwsbench.leaderboard.ranking import Contender, Place, places
from kwsbench.leaderboard.rules import Rules
from kwsbench.leaderboard.speaker_errors import Speakers
from kwsbench.predictions import Truth
from kwsbench.score.evaluate import Score
from kwsbench.submission.record import Submission, Verdict, Verification

RANKED = frozenset({Verdict.VERIFIED, Verdict.PREDICTIONS_ONLY})
"""Verdicts with which an entry takes part in the ranking."""

Clips = NDArray[np.bool_]
"""Which of all clips, shape (clips,)."""

_VERDICTS = tuple(Verdict)  # from the best to the worst


@dataclass(frozen=True, eq=False)
class Scored:
    """An entry whose predictions could be scored.

    Attributes:
        submission: What was handed in.
        verification: What became of it.
        score: Scores on the clips that the board shows.
        predicted: Codes of the predicted labels of all clips, shape (clips,).
        time: When it came in.
        main: The figure that the competition ranks by.
    """

    submission: Submission
    verification: Verification
    score: Score
    predicted: NDArray[np.uint16]
    time: datetime
    main: Estimate

    @property
    def arrival(self) -> Arrival:
        """Whose it is, and when it came in."""
        return Arrival(self.submission.team, self.submission.entry, self.time)

    @property
    def key(self) -> str:
        """Team and entry."""
        return self.submission.key


def verification_of(found: Examined, known: Verification | None) -> Verification:
    """Returns what became of an entry: what is known, where it is about these files."""
    if known is not None and known.content_sha256 == found.content_sha256:
        return known
    if found.refusal:
        verdict, reason = Verdict.REFUSED, found.refusal
    else:
        why = "it has not been run" if known is None else "its files have changed since it was run"
        verdict, reason = Verdict.PREDICTIONS_ONLY, f"the predictions are valid; nothing backs them, because {why}"
    return Verification(verdict, reason, tier=found.tier, content_sha256=found.content_sha256)


def estimate_of(score: Score, rules: Rules) -> Estimate:
    """Returns the figure that entries are ranked by."""
    figure = next(figure for figure in score.summary if figure.metric == rules.ranking.metric)
    return Estimate(figure.value, figure.ci_low, figure.ci_high)


def unranked(entries: Sequence[Scored], rules: Rules, truth: Truth, decisive: Clips | None) -> dict[str, str]:
    """Returns why entries are not ranked, in a sentence each; those that are not among them are ranked.

    Args:
        entries: Those that count by the calendar.
        rules: Which verdicts are ranked, and how many entries of a team.
        truth: What all clips are.
        decisive: The clips whose score decides which entries are final, shape (clips,); None where it is not to be seen
            yet which those are.
    """
    reasons = {one.key: reason for one in entries if (reason := _against(one, rules))}
    if decisive is None:
        return reasons
    part, metric = truth_of(truth, decisive), rules.ranking.metric
    candidates = [
        Candidate(one.arrival, float(value_of(clip_costs(part, one.predicted[decisive], metric), metric)))
        for one in entries
        if one.key not in reasons
    ]
    return reasons | not_final(candidates, rules)


def _against(one: Scored, rules: Rules) -> str:
    if one.verification.verdict not in RANKED:
        return f"{one.verification.verdict}: {one.verification.reason}"
    return f"{rules.ranking.metric} is not defined for these clips" if math.isnan(one.main.value) else ""


def entries_of(
    entries: Sequence[Scored], reasons: Mapping[str, str], rules: Rules, ground: Ground
) -> tuple[Entry, ...]:
    """Returns the entries as a board has them: those with a rank by rank, then the others by verdict and figure."""
    contenders = [
        Contender(one.key, one.main.value, one.time, one.predicted[ground.clips])
        for one in entries
        if one.key not in reasons
    ]
    ranked = places(ground.shown_truth, contenders, rules.ranking)
    speakers = None if ground.hides else Speakers(ground.shown_truth)
    order = {key: place for place, key in enumerate(ranked)}
    made = [_entry(one, rules, ranked.get(one.key), reasons.get(one.key, ""), speakers, ground) for one in entries]
    return tuple(sorted(made, key=lambda entry: (order.get(entry.key, len(order)), _behind(entry, rules))))


def _behind(entry: Entry, rules: Rules) -> tuple[int, float, str]:
    """Where an entry without a rank stands among the others."""
    sign = -1 if rules.ranking.higher_is_better else 1
    value = math.inf if math.isnan(entry.main.value) else sign * entry.main.value
    return _VERDICTS.index(entry.verification.verdict), value, entry.key


def _entry(  # noqa: PLR0913, PLR0917 -- an entry has many sides
    one: Scored, rules: Rules, place: Place | None, reason: str, speakers: Speakers | None, ground: Ground
) -> Entry:
    counted = one.verification.report or {}
    return Entry(
        submission=one.submission,
        verification=one.verification,
        score=one.score,
        main=one.main,
        num_parameters=counted.get("params"),
        macs=counted.get("macs"),
        weight_bytes=counted.get("weight_bytes"),
        rank=place.rank if place else None,
        band=place.band if place else None,
        unranked_because=reason,
        is_baseline=one.submission.team == BASELINES,
        late_days=late_days(one.time, rules) if one.submission.team != BASELINES else 0,
        worst_speakers=speakers.worst(one.predicted[ground.clips]) if speakers else (),
    )

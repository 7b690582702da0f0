"""A leaderboard as plain data: what its site, its grades and its differences are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from kwsbench.leaderboard.rules import Rules
from kwsbench.score.evaluate import Score
from kwsbench.submission.record import Submission, Verification


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: The figure; NaN where it is not defined.
        low: Lower end; NaN without an interval.
        high: Upper end; NaN without an interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SpeakerErrors:
    """How one speaker fared with an entry.

    Attributes:
        speaker: Id of the speaker in the data set.
        num_clips: Clips of that speaker, at least 1.
        num_errors: Those with a wrong label.
    """

    speaker: str
    num_clips: int
    num_errors: int


@dataclass(frozen=True, eq=False)
class Entry:
    """A submission whose predictions could be scored.

    Attributes:
        submission: What was handed in.
        verification: What became of it.
        score: Scores on the clips that this board shows: the public part, or all of them once the key is revealed.
        main: The figure that the competition ranks by, as this board may show it (no finer than its standard error
            while the private part is hidden).
        num_parameters: As counted; None where nothing was counted.
        macs: For one second of audio; None likewise.
        weight_bytes: Bytes of the weights; None likewise.
        rank: Place among ranked entries, from 1; equal figures share one. None where it is not ranked.
        band: Number of its band, from 1: entries of one band cannot be told apart. None where it is not ranked.
        unranked_because: Why it has no rank, in a sentence; empty where it has one.
        is_baseline: It comes with the kit.
        late_days: Days begun after the deadline; 0 in time.
        worst_speakers: A few of the speakers with most errors, worst first; empty where speakers are not known or
            may not be shown.
    """

    submission: Submission
    verification: Verification
    score: Score
    main: Estimate
    num_parameters: int | None
    macs: int | None
    weight_bytes: int | None
    rank: int | None
    band: int | None
    unranked_because: str
    is_baseline: bool
    late_days: int
    worst_speakers: tuple[SpeakerErrors, ...] = ()

    @property
    def key(self) -> str:
        """Team and entry, as in a path: `blue-owls/tc-small`."""
        return f"{self.submission.team}/{self.submission.entry}"


@dataclass(frozen=True)
class Rejected:
    """A folder that could not become an entry.

    Attributes:
        key: Team and entry as the folders are called.
        reasons: Every problem with its remedy, one sentence each.
    """

    key: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Board:
    """Everything that a site shows.

    Attributes:
        rules: The rules of the competition.
        entries: Ranked entries by rank, then those without a rank.
        rejected: What could not be scored, by key.
        labels: Labels of the task, keywords first.
        num_keywords: How many of them are keywords.
        num_clips: Clips that the scores are on.
        hidden_clips: Clips of the private part that they are not on; 0 once the key is revealed.
        updated: The latest time of submission: a board has no clock of its own, so that equal input gives equal bytes.
        provenance: Names and hashes: manifest, revision, clips_sha256, kwsbench version.
    """

    rules: Rules
    entries: tuple[Entry, ...]
    rejected: tuple[Rejected, ...]
    labels: tuple[str, ...]
    num_keywords: int
    num_clips: int
    hidden_clips: int
    updated: datetime | None
    provenance: Mapping[str, str]

"""Pairs of entries of different teams that a person should look at: a list with its evidence, never a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kwsbench.errors import InputError
from kwsbench.leaderboard.admission import BASELINES
from kwsbench.leaderboard.collect import Sources
from kwsbench.leaderboard.examine import Examined, Ground
from kwsbench.leaderboard.examine_many import examine_many
from kwsbench.leaderboard.similar_errors import Answers, shared_errors
from kwsbench.leaderboard.similar_reports import WORDS, Report, shared_text
from kwsbench.leaderboard.similar_weights import shared_weights, weights_of
from kwsbench.predictions import Truth
from kwsbench.submission.folder import MAX_REPORT_BYTES, read_regular
from kwsbench.submission.record import Submission, find_submissions

SIGNIFICANCE = 0.01
"""Corrected p-value under which shared mistakes are listed."""


@dataclass(frozen=True)
class Likeness:
    """Something that two entries have in common.

    Attributes:
        kind: `mistakes`, `weights` or `report`.
        first: An entry, by team and name.
        second: Another one, of another team.
        strength: In [0, 1]: share of the numbers or passages, or of the mistakes of the entry that makes fewer.
        evidence: What was found, in a sentence.
    """

    kind: str
    first: str
    second: str
    strength: float
    evidence: str


def find_likenesses(root: Path, sources: Sources) -> list[Likeness]:
    """Compares all valid entries of different teams, on all clips; the strongest likeness of each kind comes first.

    Args:
        root: Holds `<team>/<entry>`.
        sources: Where the truth lies.

    Raises:
        InputError: The truth or the manifest is missing.
    """
    ground = Ground(sources.house)
    examined = examine_many(find_submissions(root), ground, sources.cache, sources.jobs).values()
    valid = [found for found in examined if found.submission is not None and found.predicted is not None]
    submissions = [found.submission for found in valid if found.submission is not None]
    found = [*_mistakes(ground.truth, valid), *_weights(submissions), *_reports(submissions)]
    return sorted(found, key=lambda one: (one.kind, -one.strength, one.first, one.second))


def _mistakes(truth: Truth, valid: Sequence[Examined]) -> Iterator[Likeness]:
    answers = [
        Answers(found.submission.key, _maker(found.submission), found.predicted)
        for found in valid
        if found.submission is not None and found.predicted is not None
    ]
    errors = {one.key: int((one.predicted != truth.truth).sum()) for one in answers}
    tested, num_pairs = shared_errors(truth, answers)
    tested = [pair for pair in tested if not (_is_ours(pair.first) and _is_ours(pair.second))]
    for rank, pair in enumerate(sorted(tested, key=lambda one: one.p_value)):
        corrected = pair.p_value * (num_pairs - rank)
        if corrected >= SIGNIFICANCE:  # Holm's method stops at the first
            return
        fewer = min(errors[pair.first], errors[pair.second])
        chance = "under 1e-12" if corrected < 1e-12 else f"{corrected:.1g}"
        sentence = (
            f"the same wrong label on {pair.shared:,} clips, where {pair.expected:.1f} are expected of independent systems"
            f" (p {chance}, corrected for {num_pairs:,} pairs; the one with fewer mistakes makes {fewer:,})"
        )
        yield Likeness("mistakes", pair.first, pair.second, pair.shared / max(fewer, 1), sentence)


def _maker(submission: Submission) -> str:
    """The team; each of the kit's own entries is a system of its own."""
    return submission.key if submission.team == BASELINES else submission.team


def _is_ours(key: str) -> bool:
    return key.startswith(f"{BASELINES}/")


def _weights(submissions: Sequence[Submission]) -> Iterator[Likeness]:
    read = (weights_of(one.key, one.team, one.model) for one in submissions)
    for pair in shared_weights([weights for weights in read if weights is not None]):
        if pair.same_file:
            yield Likeness("weights", pair.first, pair.second, 1.0, "the same model file, byte by byte")
            continue
        equal, near = f"{pair.share:.0%}", f"{pair.near_share - pair.share:.0%}"
        sentence = f"{equal} of the smaller model's numbers are in tensors with equal absolute values in some order"
        if pair.near_share > pair.share:
            sentence += f", {near} in tensors that are nearly so"
        yield Likeness("weights", pair.first, pair.second, pair.near_share, sentence)


def _reports(submissions: Sequence[Submission]) -> Iterator[Likeness]:
    reports = [Report(one.key, one.team, text) for one in submissions if (text := _text(one.report))]
    for pair in shared_text(reports):
        sentence = (
            f"{pair.passages:,} passages of {WORDS} words in common, {pair.share:.0%} of the shorter report,"
            f' such as "{pair.example}"'
        )
        yield Likeness("report", pair.first, pair.second, pair.share, sentence)


def _text(path: Path) -> str:
    try:
        return read_regular(path, MAX_REPORT_BYTES).decode("utf-8", errors="replace")
    except InputError:
        return ""

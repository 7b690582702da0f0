"""How an entry was verified, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kwsbench.leaderboard.site.figures import count, percent, plural
from kwsbench.leaderboard.site.text import shown
from kwsbench.submission.record import Canary, Verdict, Verification

_TIERS = {
    1: "in this process, from plain numbers alone",
    2: "from a graph of known operators, inside the sandbox where there is one",
    3: "only inside the sandbox, because a file of this kind can hold code",
}
_MEANINGS = {
    Verdict.VERIFIED: "The model was run again and gives these predictions.",
    Verdict.PREDICTIONS_ONLY: "The predictions are valid. The model was not run, so nothing else backs them.",
    Verdict.MISMATCH: "The model does not stand behind these predictions.",
    Verdict.OVER_BUDGET: "The model breaks a limit, or cannot be shown to keep it.",
    Verdict.REFUSED: "Running the model would be unsafe, or it did not come to an end.",
    Verdict.INVALID: "The entry is not what one must be.",
}


@dataclass(frozen=True)
class CanaryLine:
    """What a model makes of changed clips."""

    name: str
    clips: str
    changes: str
    accuracy: str


def meaning(verdict: Verdict) -> str:
    """Returns what a verdict means, in a sentence."""
    return _MEANINGS[verdict]


def story(checked: Verification) -> Iterator[str]:
    """Yields how an entry was verified, sentence by sentence."""
    if checked.reason:
        yield sentence(checked.reason)
    if checked.tier is not None:
        yield f"Tier {checked.tier}: a model of this kind runs {_TIERS.get(checked.tier, 'with care')}."
    yield from _comparison(checked)


def sentence(text: str, most: int = 600) -> str:
    """Returns somebody's words as a sentence: a capital first, a full stop last; nothing for nothing."""
    words = shown(text, most).rstrip(".")
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _comparison(checked: Verification) -> Iterator[str]:
    if not checked.num_compared:
        return
    compared = f"Compared clip by clip: {plural(checked.num_compared, 'clip')}, {count(checked.num_mismatches)} differ"
    if checked.largest_score_difference is not None:
        compared += f", and no score by more than {checked.largest_score_difference:.1e}"
    yield f"{compared}."
    if checked.mismatches:
        more = " and others" if checked.num_mismatches > len(checked.mismatches) else ""
        yield f"They are {', '.join(shown(clip, 60) for clip in checked.mismatches)}{more}."


def canary_lines(checked: Verification) -> list[CanaryLine]:
    """Returns what the model makes of clips that a person hears the same word in: a look-up table falls apart there."""
    return [_canary_line(canary) for canary in checked.canaries]


def _canary_line(canary: Canary) -> CanaryLine:
    return CanaryLine(
        shown(canary.name, 80),
        count(canary.num_clips),
        count(canary.num_label_changes),
        "" if canary.accuracy is None else percent(canary.accuracy, 1),
    )

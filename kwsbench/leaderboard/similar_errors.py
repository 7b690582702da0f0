"""Pairs of entries that make the same mistakes more often than two independent systems would.

The test, once. For two entries of different teams, X is the number of clips that both get wrong with the same label.
Independent systems also share mistakes, because some clips are hard and some words sound alike, so what is expected of
them follows from all other teams: every clip has the share of them that gets it wrong (a team with several entries
counts once, by their mean), and the shares of the labels that they take it for. Both are smoothed with what the others
make of all clips of that label. An entry's own skill scales the odds of an error on every clip alike, until as many
errors are expected of it as it makes (the one-parameter logistic model of Rasch, 1960). Given all this the mistakes of
independent systems are independent, the expected number is the sum over clips of the probability that both make the
same mistake, and X has at most the spread of a Poisson number with that mean. The p-value is that of X or more.

What is not tested: two teams that start from the same published system and recipe also share mistakes. The list is
for a person, who looks; it is never a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kwsbench.predictions import Truth

MOST_PAIRS = 2_000
"""Pairs that are tested in full: all of them in a course, those with the largest excess among thousands of entries."""

FEWEST_OTHERS = 4
"""Other teams that are needed to know which clips are hard; with fewer, no pair is tested."""

_PRIOR = 2.0  # teams' worth of what all clips of a label show, in the estimate for one clip
_STEPS = 40
_LARGEST_LOG_ODDS = 30.0

Table = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """What an entry says of all clips.

    Attributes:
        key: Team and entry.
        team: The team.
        predicted: Codes of the predicted labels, shape (clips,).
    """

    key: str
    team: str
    predicted: NDArray[np.integer]


@dataclass(frozen=True)
class SharedErrors:
    """Two entries and the mistakes that they share.

    Attributes:
        first: An entry.
        second: Another one, of another team.
        shared: Clips that both give the same wrong label.
        expected: How many that would be for independent systems.
        p_value: Probability of so many or more by chance, not corrected for the number of pairs.
    """

    first: str
    second: str
    shared: int
    expected: float
    p_value: float


def shared_errors(truth: Truth, entries: Sequence[Answers]) -> tuple[list[SharedErrors], int]:
    """Tests pairs of entries of different teams.

    Args:
        truth: What the clips are.
        entries: All entries.

    Returns:
        The pairs that were tested, and how many pairs there are in all, for which p-values are to be corrected; none
        where the teams are too few.
    """
    if len({entry.team for entry in entries}) < FEWEST_OTHERS + 2:
        return [], 0
    crowd = _Crowd(truth, entries)
    pairs = [
        (first, second)
        for first in range(len(entries))
        for second in range(first + 1, len(entries))
        if entries[first].team != entries[second].team
    ]
    shared = _shared_counts(truth, np.stack([entry.predicted for entry in entries]))
    return [crowd.tested(*pair, int(shared[pair])) for pair in _likeliest(pairs, shared, entries, truth)], len(pairs)


def _shared_counts(truth: Truth, predicted: NDArray[np.integer]) -> NDArray[np.int64]:
    """Clips with the same wrong label, for all pairs: shape (entries, entries)."""
    total = np.zeros((len(predicted), len(predicted)), dtype=np.float32)
    for label in range(len(truth.labels)):
        clips = truth.truth != label
        says = (predicted[:, clips] == label).astype(np.float32)
        total += says @ says.T
    return np.rint(total).astype(np.int64)


def _likeliest(
    pairs: Sequence[tuple[int, int]], shared: NDArray[np.int64], entries: Sequence[Answers], truth: Truth
) -> Iterator[tuple[int, int]]:
    """All pairs where they are few, else those that share most in relation to how many mistakes they make."""
    if len(pairs) <= MOST_PAIRS:
        yield from pairs
        return
    errors = np.array([np.count_nonzero(entry.predicted != truth.truth) for entry in entries])
    excess = [shared[first, second] / np.sqrt(errors[first] * errors[second] + 1.0) for first, second in pairs]
    for place in np.argsort(-np.array(excess), kind="stable")[:MOST_PAIRS].tolist():
        yield pairs[place]


class _Crowd:
    """What is expected of an entry, from what all other teams do."""

    def __init__(self, truth: Truth, entries: Sequence[Answers]) -> None:
        self._truth, self._entries = truth, entries
        self._shape = (len(truth.truth), len(truth.labels))
        self._teams = {team: self._rates_of(team) for team in dict.fromkeys(entry.team for entry in entries)}
        self._total = np.zeros(self._shape)
        for rates in self._teams.values():
            self._total += rates

    def _rates_of(self, team: str) -> NDArray[np.float32]:
        """How often the entries of a team give each wrong label to each clip: shape (clips, labels)."""
        rates = np.zeros(self._shape, dtype=np.float32)
        entries = [entry for entry in self._entries if entry.team == team]
        for entry in entries:
            wrong = np.flatnonzero(entry.predicted != self._truth.truth)
            rates[wrong, entry.predicted[wrong]] += 1 / len(entries)
        return rates

    def tested(self, first: int, second: int, shared: int) -> SharedErrors:
        """Holds a pair against what the teams of neither do."""
        from scipy.special import pdtrc

        one, other = self._entries[first], self._entries[second]
        rates = self._smoothed(self._total - self._teams[one.team] - self._teams[other.team])
        wrong = rates.sum(axis=1)
        labels = (rates / wrong[:, np.newaxis]) ** 2
        chances = self._skilled(one, wrong) * self._skilled(other, wrong) * labels.sum(axis=1)
        expected = float(chances.sum())
        p_value = 1.0 if shared == 0 else float(pdtrc(shared - 1, expected))
        return SharedErrors(one.key, other.key, shared, expected, p_value)

    def _smoothed(self, sums: Table) -> Table:
        """Rates of wrong labels per clip, shape (clips, labels), none of them 0 but those of the right ones."""
        codes, num_teams = self._truth.truth, len(self._teams) - 2
        by_label = np.zeros((self._shape[1], self._shape[1]))
        np.add.at(by_label, codes, sums)
        sizes = np.bincount(codes, minlength=self._shape[1])[:, np.newaxis]
        prior = (by_label + 1) / (np.maximum(sizes, 1) * num_teams + self._shape[1])
        rates = (sums + _PRIOR * prior[codes]) / (num_teams + _PRIOR)
        rates[np.arange(len(codes)), codes] = 0
        return np.asarray(
            np.maximum(rates, 0) * np.minimum(1, 0.999 / np.maximum(rates.sum(axis=1), 1e-12))[:, np.newaxis]
        )

    def _skilled(self, entry: Answers, wrong: Table) -> Table:
        """Probability of an error on each clip, scaled in its odds to as many errors as the entry makes."""
        errors = np.count_nonzero(entry.predicted != self._truth.truth)
        odds = wrong / (1 - wrong)
        low, high = -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS
        for _ in range(_STEPS):
            middle = (low + high) / 2
            scaled = np.exp(middle) * odds
            low, high = (middle, high) if (scaled / (1 + scaled)).sum() < errors else (low, middle)
        scaled = np.exp(low) * odds
        return np.asarray(scaled / (1 + scaled))

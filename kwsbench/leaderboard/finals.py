"""Which of a team's entries count in the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kwsbench.leaderboard.admission import BASELINES, Arrival
from kwsbench.leaderboard.rules import Rules


@dataclass(frozen=True)
class Candidate:
    """An entry that could be ranked.

    Attributes:
        arrival: Whose it is and when it came in.
        value: Its figure on the clips that decide: the private ones, or all where nothing is private.
    """

    arrival: Arrival
    value: float


def is_decided(rules: Rules, *, decisive_known: bool) -> bool:
    """Whether it can be said in public which entries are final.

    The best private score must not be seen in who is ranked before the key is revealed; the latest entry, or the one
    that was named, tells nothing.
    """
    if rules.entries.final_per_team is None and not rules.entries.named:
        return False
    return decisive_known or rules.entries.final_by != "best private"


def not_final(candidates: Iterable[Candidate], rules: Rules) -> dict[str, str]:
    """Returns why entries are not among the final ones of their team, in a sentence each."""
    teams: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        teams[candidate.arrival.team].append(candidate)
    reasons: dict[str, str] = {}
    for team, entries in teams.items():
        if team == BASELINES:
            continue
        final = _final(team, entries, rules)
        others = [one.arrival.key for one in entries if one.arrival.key not in final]
        reasons |= dict.fromkeys(others, f"it is not a final entry of {team}: {_rule(rules)}")
    return reasons


def _final(team: str, entries: Sequence[Candidate], rules: Rules) -> set[str]:
    named = rules.entries.named.get(team)
    if named is not None:
        return {f"{team}/{name}" for name in named}
    sign = -1 if rules.ranking.higher_is_better else 1
    latest_first = sorted(entries, key=lambda one: (one.arrival.time, one.arrival.key), reverse=True)
    if rules.entries.final_by == "best private":
        earliest_first = latest_first[::-1]
        ordered = sorted(earliest_first, key=lambda one: sign * one.value)
    else:
        ordered = latest_first
    return {one.arrival.key for one in ordered[: _most(rules)]}


def _most(rules: Rules) -> int | None:
    most = rules.entries.final_per_team
    return 1 if most is None and rules.entries.final_by == "named" else most


def _rule(rules: Rules) -> str:
    most = _most(rules) or 1
    count = "one" if most == 1 else str(most)
    if rules.entries.final_by == "named":
        return f"the rules name those of the team that are, or else its latest {count} {'is' if most == 1 else 'are'}"
    which = "with the best score" if rules.entries.final_by == "best private" else "that came last"
    return f"{count} of each team {'counts' if most == 1 else 'count'}, {which}"

"""What the calendar says of entries: too early, late, too late, or too many on one day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from kwsbench.leaderboard.rules import Rules

BASELINES = "baselines"
"""The team of the entries that come with the kit; calendars and numbers of entries do not concern it."""

_SLACK = timedelta(minutes=10)  # between the clock of a team and that of the host
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Arrival:
    """An entry that has come in.

    Attributes:
        team: Whose.
        entry: Its name.
        time: The time that counts: when the host received it, or else when its form says that it was handed in.
    """

    team: str
    entry: str
    time: datetime

    @property
    def key(self) -> str:
        """Team and entry: `blue-owls/tc-small`."""
        return f"{self.team}/{self.entry}"


def late_days(time: datetime, rules: Rules) -> int:
    """Returns how many days after the deadline have begun; a day is 24 hours, whatever the clocks do."""
    if rules.deadline is None or time <= rules.deadline:
        return 0
    return -((rules.deadline - time) // _DAY)


def turned_away(arrivals: Iterable[Arrival], rules: Rules, now: datetime | None = None) -> dict[str, str]:
    """Returns why entries do not count, in a sentence each; those that do are not in it.

    Args:
        arrivals: Every entry that can be scored.
        rules: Opening, deadline, late days, entries per day.
        now: The host's clock, which no entry may be ahead of; None where it does not matter.
    """
    reasons: dict[str, str] = {}
    days: dict[tuple[str, date], int] = defaultdict(int)
    for arrival in sorted(arrivals, key=lambda one: (one.time, one.key)):
        if arrival.team == BASELINES:
            continue
        reason = _against_time(arrival.time, rules, now)
        day = (arrival.team, arrival.time.astimezone(rules.zone).date())
        if not reason and rules.entries.per_day is not None:
            days[day] += 1
            reason = _against_number(days[day], day, rules.entries.per_day)
        if reason:
            reasons[arrival.key] = reason
    return reasons


def _against_time(time: datetime, rules: Rules, now: datetime | None) -> str:
    said = f"it was handed in at {_shown(time, rules)}"
    if now is not None and time > now + _SLACK:
        return f"{said}, which is in the future: correct the clock or the offset, and hand it in again"
    if rules.opens is not None and time < rules.opens:
        return f"{said}, before the opening at {_shown(rules.opens, rules)}: hand it in again"
    days = late_days(time, rules)
    if days <= rules.late.days or rules.deadline is None:
        return ""
    last = f", and entries were taken for {_days(rules.late.days)} more" if rules.late.days else ""
    return f"{said}, after the deadline at {_shown(rules.deadline, rules)}{last}"


def _against_number(number: int, day: tuple[str, date], most: int) -> str:
    if number <= most:
        return ""
    return (
        f"it is entry {number} of {day[0]} on {day[1].isoformat()}, and {most} a day count: hand it in on another day"
    )


def _shown(time: datetime, rules: Rules) -> str:
    return time.astimezone(rules.zone).isoformat(sep=" ", timespec="seconds")


def _days(count: int) -> str:
    return f"{count} day{'s' if count > 1 else ''}"

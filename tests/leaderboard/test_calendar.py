"""What the calendar does: too early, late, too late, too many on one day, and which entries are final."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from kwsbench.leaderboard.admission import Arrival, late_days, turned_away
from kwsbench.leaderboard.finals import Candidate, is_decided, not_final
from kwsbench.leaderboard.rule_tables import Entries, Late, Private, Ranking
from kwsbench.leaderboard.rules import Rules

DEADLINE = datetime(2026, 10, 24, 23, 59, 59, tzinfo=timezone(timedelta(hours=2)))
RULES = Rules(timezone="Europe/Berlin", deadline=DEADLINE, late=Late(days=2))


def _arrival(time: datetime, entry: str = "one", team: str = "owls") -> Arrival:
    return Arrival(team, entry, time)


@pytest.mark.parametrize(
    ("after", "days"),
    [
        (timedelta(), 0),
        (timedelta(microseconds=1), 1),
        (timedelta(hours=24), 1),
        (timedelta(hours=24, microseconds=1), 2),
        (timedelta(days=-9), 0),
    ],
)
def test_a_late_day_counts_when_it_has_begun(after: timedelta, days: int) -> None:
    """Days are counted from the instant of the deadline, in steps of 24 hours, also over the end of summer time."""
    assert late_days(DEADLINE + after, RULES) == days
    assert late_days((DEADLINE + after).astimezone(UTC), RULES) == days


def test_too_late_is_said_with_the_deadline() -> None:
    """An entry of the third day is turned away, one of the second is not."""
    found = turned_away(
        [_arrival(DEADLINE + timedelta(hours=47)), _arrival(DEADLINE + timedelta(hours=49), "two")], RULES
    )
    assert list(found) == ["owls/two"]
    assert (
        "after the deadline at 2026-10-24 23:59:59+02:00, and entries were taken for 2 days more" in found["owls/two"]
    )


def test_too_early_and_in_the_future_are_said() -> None:
    """What comes before the opening, and what claims to come after now, is turned away."""
    rules = Rules(opens=datetime(2026, 10, 1, tzinfo=UTC))
    early = turned_away([_arrival(datetime(2026, 9, 30, 23, 59, tzinfo=UTC))], rules)
    assert "before the opening at 2026-10-01 00:00:00+00:00" in early["owls/one"]
    now = datetime(2026, 10, 5, 12, tzinfo=UTC)
    arrivals = [_arrival(now + timedelta(minutes=5)), _arrival(now + timedelta(hours=2), "two")]
    late = turned_away(arrivals, rules, now)
    assert list(late) == ["owls/two"]
    assert "in the future: correct the clock or the offset" in late["owls/two"]


def test_days_end_at_midnight_where_the_competition_is() -> None:
    """Entries of one day are counted by the competition's clocks, whatever offset the team wrote."""
    rules = Rules(timezone="Europe/Berlin", entries=Entries(per_day=1))
    before = datetime(2026, 11, 2, 23, 30, tzinfo=timezone(timedelta(hours=1)))
    after = (before + timedelta(hours=1)).astimezone(timezone(timedelta(hours=-8)))  # still the second there
    assert turned_away([_arrival(before), _arrival(after, "two")], rules) == {}
    same_day = turned_away([_arrival(before), _arrival(before - timedelta(hours=9), "two")], rules)
    assert list(same_day) == ["owls/one"]
    assert "entry 2 of owls on 2026-11-02, and 1 a day count" in same_day["owls/one"]


def test_days_are_counted_by_team() -> None:
    """The entries of one team take no day from another, and the baselines have as many as they like."""
    rules = Rules(entries=Entries(per_day=1))
    arrivals = [_arrival(DEADLINE, name, team) for team in ("owls", "cats", "baselines") for name in ("one", "two")]
    assert set(turned_away(arrivals, rules)) == {"owls/two", "cats/two"}


def test_the_baselines_are_never_late() -> None:
    """Deadlines do not concern the kit's own entries."""
    assert turned_away([_arrival(DEADLINE + timedelta(days=90), team="baselines")], RULES) == {}


def _candidates() -> list[Candidate]:
    hours = {"a": (0, 0.8), "b": (1, 0.9), "c": (2, 0.9), "d": (3, 0.7)}
    return [Candidate(_arrival(DEADLINE + timedelta(hours=hour), name), value) for name, (hour, value) in hours.items()]


@pytest.mark.parametrize(
    ("entries", "final"),
    [
        (Entries(final_per_team=1), {"b"}),
        (Entries(final_per_team=2), {"b", "c"}),
        (Entries(final_per_team=2, final_by="latest"), {"c", "d"}),
        (Entries(final_per_team=1, final_by="named", named={"owls": ("a",)}), {"a"}),
        (Entries(final_by="named", named={"owls": ("a", "d")}), {"a", "d"}),
        (Entries(final_by="named", named={"cats": ("a",)}), {"d"}),
        (Entries(), {"a", "b", "c", "d"}),
    ],
)
def test_final_entries_are_the_best_the_latest_or_the_named(entries: Entries, final: set[str]) -> None:
    """Of equal scores the earlier entry is final; a team that is not named gets its latest."""
    reasons = not_final(_candidates(), Rules(entries=entries))
    assert {"a", "b", "c", "d"} - {key.partition("/")[2] for key in reasons} == final
    assert all("not a final entry of owls" in reason for reason in reasons.values())


def test_the_best_of_an_error_rate_is_the_smallest() -> None:
    """Where lower is better the entry with the lowest figure is final."""
    rules = Rules(entries=Entries(final_per_team=1), ranking=Ranking(metric="macro_frr"))
    assert "owls/d" not in not_final(_candidates(), rules)


def test_who_is_best_in_private_is_not_to_be_seen_before_the_end() -> None:
    """While the private part is hidden, the choice by private score is not made in public; other choices are."""
    private = Private(share=0.5, key_sha256="0" * 64)
    by_score = Rules(entries=Entries(final_per_team=1), private=private)
    latest = Rules(entries=Entries(final_per_team=1, final_by="latest"), private=private)
    assert not is_decided(by_score, decisive_known=False)
    assert is_decided(by_score, decisive_known=True)
    assert is_decided(latest, decisive_known=False)
    assert not is_decided(Rules(), decisive_known=True)

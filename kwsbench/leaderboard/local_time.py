"""Times on the clocks of a place, as instants: also on the two days of a year on which those clocks jump."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def find_zone(name: str) -> ZoneInfo:
    """Returns the time zone of that name. Raises ValueError where there is none."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError("the name of a time zone, such as Europe/Berlin") from error


def instant_of(local: datetime, zone: ZoneInfo) -> datetime:
    """Returns the instant at which the clocks of a zone show a time.

    Args:
        local: What the clocks show, without an offset.
        zone: Whose clocks.

    Raises:
        ValueError: They show it twice, or jump over it; the message has the two instants that could be meant.

    >>> instant_of(datetime(2026, 11, 21, 18, 30), find_zone("Europe/Berlin")).isoformat()
    '2026-11-21T18:30:00+01:00'
    """
    first, second = (_in_zone(local.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first == second:
        return first
    twice = _shows(first, local)
    reason = "back then, and this time comes twice" if twice else "forward then, and there is no such time"
    earlier, later = sorted((first, second))
    raise ValueError(f"{earlier.isoformat()} or {later.isoformat()}: in {zone.key} the clocks are put {reason}")


def _in_zone(moment: datetime) -> datetime:
    """The same instant with the offset that holds at it, and no zone that `==` would compare by its clocks."""
    there = moment.astimezone(UTC).astimezone(moment.tzinfo)
    return datetime.fromisoformat(there.isoformat())


def _shows(moment: datetime, local: datetime) -> bool:
    return moment.replace(tzinfo=None) == local

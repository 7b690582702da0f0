"""What a rebuild changes, in words: from the `leaderboard.json` of the site that is there, and the board to come."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwsbench.errors import InputError, reason_of
from kwsbench.leaderboard.board import Board
from kwsbench.printable import printable

RECORD = "leaderboard.json"
"""The file of a site that says what its board is."""

_MOST_BYTES = 256 << 20
_NAMED = 5


@dataclass(frozen=True)
class Standing:
    """What matters of an entry when boards are compared.

    Attributes:
        rank: None where it is not ranked.
        band: None likewise.
        value: The figure that ranks, as it is shown.
        verdict: In words.
        unranked_because: Why it has no rank; empty where it has one.
        late_days: Days begun after the deadline.
    """

    rank: int | None
    band: int | None
    value: float
    verdict: str
    unranked_because: str
    late_days: int


@dataclass(frozen=True)
class Snapshot:
    """What matters of a board.

    Attributes:
        metric: What ranks.
        entries: By team and entry, in the order of the board.
        rejected: Reasons, by team and entry.
    """

    metric: str
    entries: Mapping[str, Standing]
    rejected: Mapping[str, str]


def snapshot(board: Board) -> Snapshot:
    """Returns what matters of a board."""
    entries = {
        entry.key: Standing(
            entry.rank,
            entry.band,
            entry.main.value,
            str(entry.verification.verdict),
            entry.unranked_because,
            entry.late_days,
        )
        for entry in board.entries
    }
    return Snapshot(board.rules.ranking.metric, entries, {one.key: "; ".join(one.reasons) for one in board.rejected})


def read_snapshot(site: Path) -> Snapshot:
    """Reads what matters of the board of a site.

    Args:
        site: The folder of the site, or its `leaderboard.json`.

    Raises:
        InputError: There is none, or it cannot be read.
    """
    path = site / RECORD if site.is_dir() else site
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"cannot read {path}: it has more than {_MOST_BYTES:,} bytes")
        return _from_record(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        reason = reason_of(error)
        raise InputError(f"cannot read {path}: {reason}; build the site first, or name its folder") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no record of a leaderboard; build the site again") from error


def _from_record(record: Mapping[str, Any]) -> Snapshot:
    rows = record["entries"]
    ranked_by = next((name for row in rows for name in row if name.startswith("ranked_by_")), "ranked_by_")
    entries = {f"{row['team']}/{row['entry']}": _standing(row, ranked_by) for row in rows}
    rejected = {one["key"]: "; ".join(one["reasons"]) for one in record["rejected"]}
    return Snapshot(ranked_by.removeprefix("ranked_by_"), entries, rejected)


def _standing(row: Mapping[str, Any], ranked_by: str) -> Standing:
    value = row[ranked_by]
    return Standing(
        row["rank"],
        row["band"],
        math.nan if value is None else float(value),
        row["verdict"],
        row["unranked_because"],
        row["late_days"],
    )


def changes(old: Snapshot, new: Snapshot) -> list[str]:
    """Returns what changes, one sentence each; empty where nothing does.

    Entries that do nothing but make room are counted, not named, where they are many.
    """
    sentences = (
        [f"the competition ranks by {new.metric} and no longer by {old.metric}"] if _metric_changed(old, new) else []
    )
    sentences += list(_arrivals(old, new))
    sentences += list(_departures(old, new))
    sentences += [
        text for key, now in new.entries.items() if key in old.entries for text in _edits(key, old.entries[key], now)
    ]
    sentences += list(_moves(old, new))
    return [printable(sentence) for sentence in sentences]


def _metric_changed(old: Snapshot, new: Snapshot) -> bool:
    return bool(old.entries and new.entries) and old.metric != new.metric


def _arrivals(old: Snapshot, new: Snapshot) -> Iterator[str]:
    for key, now in new.entries.items():
        if key not in old.entries:
            was = "was rejected, and now it" if key in old.rejected else "is new, and"
            yield f"{key} {was} {_place(now)}"
    for key, reasons in new.rejected.items():
        if key in old.entries:
            yield f"{key} is rejected now: {reasons}"
        elif key not in old.rejected:
            yield f"{key} is new, and rejected: {reasons}"


def _departures(old: Snapshot, new: Snapshot) -> Iterator[str]:
    for key, was in old.entries.items():
        if key not in new.entries and key not in new.rejected:
            yield f"{key} is gone; until now it {_place(was)}"
    for key in old.rejected:
        if key not in new.entries and key not in new.rejected:
            yield f"{key} is gone; until now it is rejected"


def _place(standing: Standing) -> str:
    if standing.rank is None:
        return f"is not ranked ({standing.unranked_because})"
    return f"has rank {standing.rank} in band {standing.band} with {standing.value:.4f}, {standing.verdict}"


def _edits(key: str, was: Standing, now: Standing) -> Iterator[str]:
    """What has changed about an entry itself, its rank aside."""
    if was.verdict != now.verdict:
        because = f" ({now.unranked_because})" if now.unranked_because else ""
        yield f"{key} was {was.verdict}, and is {now.verdict}{because}"
    elif was.rank is not None and now.rank is None:
        yield f"{key} is no longer ranked: {now.unranked_because}"
    elif was.rank is None and now.rank is not None:
        yield f"{key} is ranked now: it {_place(now)}"
    if not _same(was.value, now.value):
        yield f"{key} has {now.value:.4f}, and had {was.value:.4f}"
    if was.band != now.band and was.band is not None and now.band is not None:
        yield f"{key} goes from band {was.band} to band {now.band}"
    if was.late_days != now.late_days:
        yield f"{key} counts as {now.late_days} days late, and no longer as {was.late_days}"


def _same(was: float, now: float) -> bool:
    return was == now or (math.isnan(was) and math.isnan(now))


def _moves(old: Snapshot, new: Snapshot) -> Iterator[str]:
    """Who changes ranks; many that move by as much are counted together."""
    moved: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
    for key, now in new.entries.items():
        was = old.entries.get(key)
        if was is not None and was.rank is not None and now.rank is not None and was.rank != now.rank:
            moved[now.rank - was.rank].append((key, was.rank, now.rank))
    for by, entries in sorted(moved.items()):
        if len(entries) <= _NAMED:
            yield from (f"{key} moves from rank {was} to rank {now}" for key, was, now in entries)
        else:
            direction = "down" if by > 0 else "up"
            yield f"{len(entries):,} entries move {direction} by {abs(by)} (from {entries[0][0]} to {entries[-1][0]})"

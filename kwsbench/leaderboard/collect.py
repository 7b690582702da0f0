"""From folders to a board: every entry is scored, held against the calendar, and ranked; what cannot be says why.

The board of a competition shows the public part of the clips until the key is in the rules, and all of them from then
on. `collect(..., private=True)` is for the host: what the private part says. Equal input gives an equal board.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from kwsbench import __version__
from kwsbench.leaderboard.admission import turned_away
from kwsbench.leaderboard.board import Board, Entry, Rejected
from kwsbench.leaderboard.examine import Examined, Ground, Part
from kwsbench.leaderboard.examine_many import examine_many
from kwsbench.leaderboard.finals import is_decided
from kwsbench.leaderboard.hidden import private_clips
from kwsbench.leaderboard.rules import Rules
from kwsbench.leaderboard.standings import Clips, Scored, entries_of, estimate_of, unranked, verification_of
from kwsbench.printable import printable
from kwsbench.submission.judging import House
from kwsbench.submission.record import Verification, find_submissions

_LONGEST_NAME = 100


@dataclass(frozen=True)
class Sources:
    """What a board is made from, besides the folders and the rules.

    Attributes:
        house: Where the clips, their truth and the manifest lie.
        key: The key of the private part; None takes the one in the rules.
        verifications: What became of entries, by team and entry; one that belongs to other files does not count.
        received: When the host received entries, by team and entry, where that is known: it counts instead of what
            their forms say.
        cache: Folder of what was found earlier; None reads and scores everything.
        jobs: Processes that score at a time.
        now: The host's clock, which no entry may be ahead of; None where it does not matter.
    """

    house: House
    key: str | None = None
    verifications: Mapping[str, Verification] = field(default_factory=dict)
    received: Mapping[str, datetime] = field(default_factory=dict)
    cache: Path | None = None
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    now: datetime | None = None


def collect(root: Path, rules: Rules, sources: Sources, *, private: bool = False) -> Board:
    """Makes a board.

    Args:
        root: Holds `<team>/<entry>`.
        rules: Of the competition.
        sources: Everything else.
        private: Score the private part, for grades; where nothing is private, all clips.

    Raises:
        InputError: The truth, the manifest or the key is missing or wrong. What is wrong with an entry raises nothing:
            it is among the rejected ones.
    """
    ground, decisive = _ground(rules, sources, private=private)
    examined = examine_many(find_submissions(root), ground, sources.cache, sources.jobs)
    scored = [one for found in examined.values() if (one := _scored(found, rules, sources))]
    away = turned_away([one.arrival for one in scored], rules, sources.now)
    standing = [one for one in scored if one.key not in away]
    reasons = unranked(standing, rules, ground.truth, decisive)
    entries = entries_of(standing, reasons, rules, ground)
    times = {one.key: one.time for one in standing}
    return _board(entries, _rejected(examined, away, root), rules, ground, max(times.values(), default=None))


def _ground(rules: Rules, sources: Sources, *, private: bool) -> tuple[Ground, Clips | None]:
    """What entries are scored on, and the clips that decide which of them are final, if that may be seen."""
    everything = Ground(sources.house)
    if rules.private is None:
        return everything, everything.clips if is_decided(rules, decisive_known=True) else None
    hidden = private_clips(everything.truth, rules.private, sources.key)
    known = private or not rules.hides
    decisive = hidden if is_decided(rules, decisive_known=known) else None
    if not known:
        return Ground(sources.house, Part(~hidden, coarse=True)), decisive
    return (Ground(sources.house, Part(hidden)) if private else everything), decisive


def _name(folder: Path) -> str:
    """Team and entry as the folders are called, as they may be shown."""
    return "/".join(printable(name[:_LONGEST_NAME]) for name in (folder.parent.name, folder.name))


def _scored(found: Examined, rules: Rules, sources: Sources) -> Scored | None:
    if found.submission is None or found.score is None or found.predicted is None:
        return None
    key = found.submission.key
    return Scored(
        submission=found.submission,
        verification=verification_of(found, sources.verifications.get(key)),
        score=found.score,
        predicted=found.predicted,
        time=sources.received.get(key, found.submission.submitted),
        main=estimate_of(found.score, rules),
    )


def _rejected(examined: Mapping[Path, Examined], away: Mapping[str, str], root: Path) -> tuple[Rejected, ...]:
    nothing = ("it holds nothing that can be scored",)
    invalid = [(_name(folder), found.problems or nothing) for folder, found in examined.items() if found.score is None]
    invalid += [(key, (reason,)) for key, reason in away.items()]
    return tuple(Rejected(key, tuple(_shown(reason, root) for reason in reasons)) for key, reasons in sorted(invalid))


def _shown(reason: str, root: Path) -> str:
    """A reason as it may be shown: nothing in it steers a terminal, or tells where the host keeps the submissions."""
    return printable(reason.replace(str(root), root.name or str(root)), keeps="\n")


def _board(
    entries: Sequence[Entry], rejected: tuple[Rejected, ...], rules: Rules, ground: Ground, updated: datetime | None
) -> Board:
    truth, terms = ground.shown_truth, ground.terms
    provenance = {
        "manifest": terms.manifest.name,
        "revision": str(terms.manifest.revision),
        "split": terms.split,
        "clips_sha256": terms.clips_sha256 or "",
        "truth_sha256": terms.truth_sha256,
        "kwsbench": __version__,
        **({"key_sha256": rules.private.key_sha256} if rules.private else {}),
    }
    return Board(
        rules=rules,
        entries=tuple(entries),
        rejected=rejected,
        labels=truth.labels,
        num_keywords=truth.num_keywords,
        num_clips=len(truth.truth),
        hidden_clips=int((~ground.clips).sum()) if ground.hides else 0,
        updated=updated,
        provenance=provenance,
    )

"""The page of an entry: what it is and where it stands, around the part that its own files decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kwsbench.errors import InputError
from kwsbench.leaderboard.board import Board, Entry
from kwsbench.leaderboard.site import entry_body
from kwsbench.leaderboard.site.addresses import entry_page, ranking_view, root_of
from kwsbench.leaderboard.site.checking import canary_lines, meaning, story
from kwsbench.leaderboard.site.curve_pages import curve_lines
from kwsbench.leaderboard.site.downloads import entry_files
from kwsbench.leaderboard.site.figures import count, day, interval, metric_name, minute, percent, plural, share_of
from kwsbench.leaderboard.site.pictures import read_picture
from kwsbench.leaderboard.site.rendering import Templates, safe_html
from kwsbench.leaderboard.site.report import SafeReport, safe_report
from kwsbench.leaderboard.site.text import CELL_LETTERS, shown
from kwsbench.submission.folder import MAX_REPORT_BYTES, read_regular
from kwsbench.submission.record import Submission, Verdict

_MOST_HISTORY = 30
_KINDS = {Verdict.VERIFIED: "good", Verdict.PREDICTIONS_ONLY: "quiet", Verdict.OVER_BUDGET: "warn"}


@dataclass(frozen=True)
class OwnParts:
    """What an entry's own files decide, whatever the others on the board are.

    Attributes:
        body: The part of its page.
        rows: Its row on each page of curves; empty where it has none.
        files: Downloads and pictures, named from the folder of the team on the site: a download begins with the name of
            its entry (`tc-small.summary.csv`), pictures lie in a folder of that name.
    """

    body: str
    rows: tuple[str, ...]
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class EntryFact:
    """A figure of an entry; `more` is none or some lines below it."""

    name: str
    value: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class HistoryLine:
    """An entry among those of its team."""

    submitted: str
    href: str
    title: str
    value: str
    interval: str
    rank: str
    band: str
    verdict: str


@dataclass(frozen=True)
class SpeakerLine:
    """A speaker with many errors."""

    speaker: str
    clips: str
    errors: str
    rate: str


def own_parts(entry: Entry, templates: Templates) -> OwnParts:
    """Makes what an entry's own files decide."""
    name = entry.submission.entry
    report = read_report(entry.submission)
    files = {f"{name}.{file}": content for file, content in entry_files(entry).items()}
    speakers = [_speaker_line(one.speaker, one.num_clips, one.num_errors) for one in entry.worst_speakers]
    layers = entry_body.layer_lines(entry.verification.report)
    canaries = canary_lines(entry.verification)
    body = templates.fill(
        "entry_body.html",
        scores=entry_body.score_lines(entry.score),
        keyword_columns=entry_body.keyword_columns(entry.score),
        keywords=entry_body.keyword_lines(entry.score),
        confusions=entry_body.confusions(entry.score),
        speakers=[speakers] if speakers else [],
        story=list(story(entry.verification)),
        canaries=[canaries] if canaries else [],
        layers=[layers] if layers else [],
        findings=entry_body.findings(entry.verification.report),
        report={"html": safe_html()(report.html), "notes": report.notes},
        commands=entry_body.commands(entry),
        hashes=entry_body.hashes(entry),
        versions=entry_body.versions(entry),
        downloads=[{"name": file.removeprefix(f"{name}."), "href": file} for file in files],
    )
    pictures = {f"{name}/{picture.name}": picture.content for picture in report.pictures.values()}
    rows = [templates.fill("curve_row.html", line=line) if line else "" for line in curve_lines(entry)]
    return OwnParts(body, tuple(rows), {**files, **pictures})


def read_report(submission: Submission) -> SafeReport:
    """Returns the report of an entry as it was handed in; a note where it cannot be shown."""
    try:
        content = read_regular(submission.report, MAX_REPORT_BYTES)
    except InputError:
        return SafeReport(notes=["The report cannot be read."])
    if _sha256(content) != submission.sha256.get("report"):
        return SafeReport(notes=["The report is not the one that was handed in: it was changed later."])
    read: Any = partial(read_picture, submission.folder)
    return safe_report(content.decode("utf-8-sig", "replace"), read, f"{submission.entry}/")


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def _speaker_line(speaker: str, num_clips: int, num_errors: int) -> SpeakerLine:
    return SpeakerLine(shown(speaker, 40), count(num_clips), count(num_errors), percent(num_errors / num_clips, 1))


def head_of(entry: Entry, board: Board) -> dict[str, Any]:
    """Returns what the page of an entry says above its scores."""
    submission, metric = entry.submission, metric_name(board.rules.ranking.metric)
    return {
        "title": shown(submission.title) or submission.entry,
        "team": submission.team,
        "name": submission.entry,
        "team_view": ranking_view(team=submission.team),
        "standing": _standing(entry),
        "facts": _facts(entry, board),
        "metric": metric.short,
        "verdict": str(entry.verification.verdict),
        "verdict_kind": _KINDS.get(entry.verification.verdict, "bad"),
        "verdict_meaning": meaning(entry.verification.verdict),
    }


def _standing(entry: Entry) -> list[str]:
    submission = entry.submission
    place = (
        f"Rank {entry.rank}, band {entry.band}."
        if entry.rank is not None
        else f"Not ranked: {shown(entry.unranked_because, 400).rstrip('.')}."
    )
    by = ", ".join(shown(name, 60) for name in submission.members[:12])
    handed_in = f"Handed in {minute(submission.submitted)} by {submission.team}{f' ({by})' if by else ''}"
    late = f", {plural(entry.late_days, 'day')} late" if entry.late_days else ""
    return [place, f"{handed_in}{late}.", *(["It comes with the kit."] if entry.is_baseline else [])]


def _facts(entry: Entry, board: Board) -> list[EntryFact]:
    metric, limits = metric_name(board.rules.ranking.metric), board.rules.limits
    main = entry.main
    figures = [EntryFact(f"{metric.title}, %", percent(main.value), (interval(main.low, main.high),))]
    costs = (
        ("Parameters", entry.num_parameters, limits.max_params),
        ("MACs per second", entry.macs, limits.max_macs),
        ("Weight bytes", entry.weight_bytes, limits.max_weight_bytes),
    )
    return figures + [_cost(name, value, limit) for name, value, limit in costs if value is not None]


def _cost(name: str, value: int, limit: int | None) -> EntryFact:
    share = share_of(value, limit)
    return EntryFact(name, count(value), (share,) if share else ())


class TeamHistory:
    """The entries of a team as rows of the tables on its pages; a row that several pages show is made once.

    Args:
        of_team: The entries.
        templates: The templates of the site.
    """

    def __init__(self, of_team: Sequence[Entry], templates: Templates) -> None:
        self._templates = templates
        self._latest_first = sorted(of_team, key=lambda one: (one.submission.submitted, one.key), reverse=True)
        self._rows = [self._row(one) for one in self._latest_first]

    def around(self, entry: Entry) -> list[Any]:
        """Returns the rows of the team's latest entries and of the entry itself, which is marked, the latest first."""
        rows = enumerate(zip(self._latest_first, self._rows, strict=True))
        return [
            self._row(one, "page") if one is entry else row
            for at, (one, row) in rows
            if at < _MOST_HISTORY or one is entry
        ]

    def _row(self, entry: Entry, *marks: str) -> Any:
        root = root_of(entry_page(entry))
        return safe_html()(self._templates.fill("history_row.html", line=_history_line(entry), root=root, marks=marks))


def _history_line(entry: Entry) -> HistoryLine:
    return HistoryLine(
        day(entry.submission.submitted),
        entry_page(entry),
        shown(entry.submission.title, CELL_LETTERS) or entry.submission.entry,
        percent(entry.main.value),
        interval(entry.main.low, entry.main.high, 1),
        count(entry.rank),
        count(entry.band),
        str(entry.verification.verdict),
    )

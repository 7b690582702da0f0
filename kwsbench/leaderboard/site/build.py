"""Builds the site: every page in memory, each file once, the folder swapped in whole."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwsbench.dataset.whole_folder import replacing_folder
from kwsbench.leaderboard.board import Board, Entry
from kwsbench.leaderboard.site.addresses import entry_page, root_of, team_folder
from kwsbench.leaderboard.site.cache import Bodies
from kwsbench.leaderboard.site.changes import MOST_IN_FEED, changes_of, name_of
from kwsbench.leaderboard.site.curve_pages import curve_frame, curve_pages
from kwsbench.leaderboard.site.downloads import board_record, board_table, csv_bytes, json_bytes
from kwsbench.leaderboard.site.entry_body import Fact
from kwsbench.leaderboard.site.entry_page import TeamHistory, head_of
from kwsbench.leaderboard.site.figures import count, instant, minute, plural
from kwsbench.leaderboard.site.plot_pages import plots_of
from kwsbench.leaderboard.site.ranking_table import ranking_table
from kwsbench.leaderboard.site.rendering import Templates, design_folder, safe_html
from kwsbench.leaderboard.site.report import safe_report
from kwsbench.leaderboard.site.task_pages import metric_pages, private_words, rejected_lines, rule_groups
from kwsbench.leaderboard.site.text import shown

_FIRST_PAGE = ("index.html", "assets/site.", "assets/theme.", "assets/ranking.", "assets/icon.")
_COMMENT = re.compile(r"/\*.*\*/")
_HASH_DIGITS = 10
_MOST_INTRO = 420
_ROUNDED = "Counts are rounded likewise, so that the rows of the confusion matrix need not add up."


@dataclass(frozen=True)
class BuiltSite:
    """A site that was built.

    Attributes:
        folder: Where it is.
        num_pages: HTML pages.
        first_page_bytes: Bytes that the first page needs: itself, its style and its scripts.
        num_reused: Entries whose pages and downloads were taken from the cache.
    """

    folder: Path
    num_pages: int
    first_page_bytes: int
    num_reused: int


def build_site(board: Board, out: Path, cache: Path | None = None) -> BuiltSite:
    """Writes the site of a board; equal boards and equal files of their entries give equal bytes.

    Args:
        board: What it shows.
        out: The folder, replaced as a whole when everything in it is written.
        cache: A folder for what an entry's own files decide, so that the next build only makes what is new.

    Raises:
        InputError: The folder cannot be written, or a library is missing.
    """
    bodies = Bodies(cache, Templates())
    with replacing_folder(out) as folder:
        assets = _assets()
        writer = _Writer(folder)
        writer.write(assets.values())
        pages = _Pages(board, bodies.templates, {name: path for name, (path, _) in assets.items()})
        writer.write(pages.entries(bodies, folder))
        writer.write(pages.others())
        writer.write(
            [("leaderboard.csv", csv_bytes(board_table(board))), ("leaderboard.json", json_bytes(board_record(board)))]
        )
    bodies.forget_unused()
    return BuiltSite(out, writer.num_pages, writer.first_page_bytes, bodies.num_reused)


class _Writer:
    """Writes files and counts what will be asked about."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[Path] = set()
        self.num_pages = 0
        self.first_page_bytes = 0

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Writes files by their names from the root of the site."""
        for name, content in files:
            path = self._folder / name
            if path.parent not in self._made:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            path.write_bytes(content)
            self.num_pages += name.endswith(".html")
            self.first_page_bytes += len(content) * name.startswith(_FIRST_PAGE)


def _assets() -> dict[str, tuple[str, bytes]]:
    """Style, scripts and the icon: name to path, which names the content so that no stale copy is used, and bytes."""
    files = [path for part in ("style", "script") for path in sorted(design_folder(part).iterdir()) if path.is_file()]
    return {path.name: _asset(path) for path in files}


def _asset(path: Path) -> tuple[str, bytes]:
    content = path.read_bytes() if path.suffix == ".svg" else _compact(path.read_text(encoding="utf-8")).encode()
    digits = hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]
    return f"assets/{path.stem}.{digits}{path.suffix}", content


def _compact(code: str) -> str:
    """Returns style or script without indents, empty lines, and lines that only comment."""
    lines = (line.strip() for line in code.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//") and not _COMMENT.fullmatch(line))


@dataclass(frozen=True)
class _Link:
    href: str
    title: str

    def marks(self, page: str) -> list[str]:
        """`page` where this is the page, or one that belongs to it."""
        section = self.href.partition("/")[0] if "/" in self.href else self.href
        return ["page"] if page == self.href else ["true"] if page.startswith(f"{section}/") else []


class _Pages:
    """The pages of a site, one after the other."""

    def __init__(self, board: Board, templates: Templates, assets: Mapping[str, str]) -> None:
        self._board = board
        self._templates = templates
        self._assets = assets
        self._curves = curve_pages(board)
        self._rows: list[tuple[str, ...]] = []
        self._site = {
            "title": shown(board.rules.title) or "Leaderboard",
            "links": self._links(),
            "provenance": [Fact(shown(name), _abridged(value)) for name, value in board.provenance.items()],
        }

    def _links(self) -> list[_Link]:
        links = [_Link("index.html", "Ranking"), _Link("plots.html", "Plots")]
        links += [_Link("curves/index.html", "DET curves")] if self._curves else []
        return [
            *links,
            _Link("task.html", "Task"),
            _Link("metrics/index.html", "Metrics"),
            _Link("changes.html", "Changes"),
        ]

    def _fill(self, template: str, page: str, **values: Any) -> tuple[str, bytes]:
        frame = {"site": self._site, "assets": self._assets, "root": root_of(page), "page": page}
        return page, self._templates.fill(template, **frame, **values).encode()

    def others(self) -> Iterator[tuple[str, bytes]]:
        """Yields every page but those of entries, which come first, and the feed."""
        board, changes = self._board, changes_of(self._board)
        yield self._first_page()
        yield self._fill("plots.html", "plots.html", plots=plots_of(board))
        yield from self._curve_pages()
        yield self._task_page()
        yield from self._metric_pages()
        yield self._fill("changes.html", "changes.html", changes=changes)
        yield self._fill("rejected.html", "rejected.html", rejected=rejected_lines(board))
        feed = {
            "id": name_of(board.rules.title, None),
            "title": self._site["title"],
            "updated": instant(board.updated) if board.updated else "1970-01-01T00:00:00Z",
            "changes": changes[:MOST_IN_FEED],
        }
        yield self._fill("feed.xml", "feed.xml", feed=feed)

    def _first_page(self) -> tuple[str, bytes]:
        board = self._board
        rejected = plural(len(board.rejected), "folder") + " could not become an entry."
        return self._fill(
            "index.html",
            "index.html",
            table=ranking_table(board),
            intro=_intro(board),
            facts=_facts(board),
            notes=_notes(board),
            rejected_notes=[rejected] if board.rejected else [],
        )

    def _curve_pages(self) -> Iterator[tuple[str, bytes]]:
        for number, page in enumerate(self._curves):
            rows = [safe_html()(of_entry[number]) for of_entry in self._rows if of_entry[number]]
            tabs = [
                {"address": one.address, "title": one.title, "marks": ["page"] if one is page else []}
                for one in self._curves
            ]
            yield self._fill("curves.html", page.address, curves=page, rows=rows, pages=tabs, frame=curve_frame())

    def _task_page(self) -> tuple[str, bytes]:
        board = self._board
        return self._fill(
            "task.html",
            "task.html",
            text=safe_html()(safe_report(board.rules.text, top_level=2).html),
            groups=rule_groups(board),
            keywords=[shown(label) for label in board.labels[: board.num_keywords]],
            background=[shown(label) for label in board.labels[board.num_keywords :]],
        )

    def _metric_pages(self) -> Iterator[tuple[str, bytes]]:
        metrics = metric_pages(self._board, self._templates)
        yield self._fill("metrics.html", "metrics/index.html", metrics=metrics)
        for metric in metrics:
            yield self._fill(metric.href, metric.href, metric=metric)

    def entries(self, bodies: Bodies, folder: Path) -> Iterator[tuple[str, bytes]]:
        """Yields the page of every entry; its downloads and pictures go into the folder of the site themselves."""
        teams: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._board.entries:
            teams[entry.submission.team].append(entry)
        notes = [*_notes(self._board), *([_ROUNDED] if self._board.hidden_clips else [])]
        histories = {team: TeamHistory(entries, self._templates) for team, entries in teams.items()}
        for entry in self._board.entries:
            parts = bodies.put(entry, folder / team_folder(entry))
            self._rows.append(parts.rows)
            history = histories[entry.submission.team].around(entry)
            head = head_of(entry, self._board)
            body = safe_html()(parts.body)
            yield self._fill("entry.html", entry_page(entry), entry=head, notes=notes, body=body, history=history)


def _intro(board: Board) -> list[str]:
    """The first paragraph of the rules as plain text, or nothing."""
    first = next(
        (part for part in board.rules.text.split("\n\n") if part.strip() and not part.lstrip().startswith("#")), ""
    )
    plain = safe_html()(safe_report(first).html).striptags()
    return [shown(plain, _MOST_INTRO)] if plain else []


def _abridged(value: str) -> str:
    text = shown(value)
    return f"{text[:12]}…" if re.fullmatch(r"[0-9a-f]{40,}", text) else text


def _facts(board: Board) -> list[Fact]:
    rules, zone = board.rules, board.rules.zone
    teams = {entry.submission.team for entry in board.entries if not entry.is_baseline}
    num_entries = len(board.entries)
    only_baselines = num_entries > 0 and not teams
    whose = plural(num_entries, "baseline") if only_baselines else f"{num_entries:,} of {plural(len(teams), 'team')}"
    facts = [Fact("Entries", whose)]
    facts.append(Fact("Test clips", count(board.num_clips)))
    limits = (("parameters", rules.limits.max_params), ("MACs", rules.limits.max_macs))
    stated = ", ".join(f"{limit:,} {noun}" for noun, limit in limits if limit is not None)
    facts += [Fact("Limits", stated)] if stated else []
    facts += [Fact("Deadline", minute(rules.deadline.astimezone(zone)))] if rules.deadline else []
    facts += [Fact("Latest entry", minute(board.updated.astimezone(zone)))] if board.updated else []
    return facts


def _notes(board: Board) -> list[str]:
    if not board.hidden_clips:
        return []
    return [f"These figures are on the public part. {private_words(board)[0].upper()}{private_words(board)[1:]}."]

"""The pages of DET curves: the mean over keywords and each keyword, of the entries that one chooses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

from numpy.typing import NDArray

from kwsbench.leaderboard.board import Board, Entry
from kwsbench.leaderboard.site.addresses import entry_page
from kwsbench.leaderboard.site.figures import percent
from kwsbench.leaderboard.site.plots import det
from kwsbench.leaderboard.site.text import CELL_LETTERS, shown

_FIRST_CURVES = 5
_KEYWORD_LETTERS = 40
_FIGURES = ("eer", "auc", "frr_at_far_1pct", "frr_at_far_01pct")


@dataclass(frozen=True)
class CurveLine:
    """An entry on a page of curves.

    Attributes:
        key: Team and entry.
        href: Its page.
        title: Its title.
        team: Its team.
        heights: Places of its curve on the y axis, one per false accept rate of the grid.
        figures: EER, AUC, and FRR at two limits of FAR.
    """

    key: str
    href: str
    title: str
    team: str
    heights: str
    figures: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """A curve that is drawn at first."""

    number: int
    key: str
    title: str
    path: str


@dataclass(frozen=True)
class CurvePage:
    """A page of curves.

    Attributes:
        address: Where it lies.
        title: The keyword, or that it is the mean of them.
        keyword: The keyword; None for the mean.
        drawn: The curves that are drawn at first.
    """

    address: str
    title: str
    keyword: str | None
    drawn: tuple[Drawn, ...]

    @property
    def first(self) -> str:
        """The entries whose curves are drawn at first, with spaces between them."""
        return " ".join(curve.key for curve in self.drawn)


def curve_pages(board: Board) -> list[CurvePage]:
    """Returns the page of mean curves and one for each keyword; nothing where no entry has scores."""
    with_scores = [entry for entry in board.entries if entry.score.det]
    if not with_scores:
        return []
    keywords = board.labels[: board.num_keywords]
    named = [(f"curves/keyword-{number}.html", keyword) for number, keyword in enumerate(keywords, start=1)]
    mean = CurvePage("curves/index.html", "Mean of the keywords", None, _drawn(with_scores, None))
    return [
        mean,
        *(CurvePage(page, shown(word, _KEYWORD_LETTERS), word, _drawn(with_scores, word)) for page, word in named),
    ]


def _drawn(entries: Sequence[Entry], keyword: str | None) -> tuple[Drawn, ...]:
    curves = ((entry, _mean_curve(entry, keyword)) for entry in entries)
    known = islice(((entry, curve) for entry, curve in curves if curve is not None), _FIRST_CURVES)
    x = det.x_axis()
    return tuple(
        Drawn(number, entry.key, _title(entry), det.path_of(det.heights(curve), x))
        for number, (entry, curve) in enumerate(known)
    )


def curve_lines(entry: Entry) -> Iterator[CurveLine | None]:
    """Yields the entry's line on each page of curves; None where it has no curve."""
    for keyword in (None, *entry.score.labels[: entry.score.num_keywords]):
        curve = _mean_curve(entry, keyword)
        yield None if curve is None else _curve_line(entry, keyword, det.heights(curve))


def _mean_curve(entry: Entry, keyword: str | None) -> NDArray[Any] | None:
    return det.mean_curve(curve for name, curve in entry.score.det.items() if keyword in (None, name))


def _curve_line(entry: Entry, keyword: str | None, heights: str) -> CurveLine:
    rows = [row for row in entry.score.keywords if keyword in (None, row.keyword)]
    figures = tuple(_mean([getattr(row, name) for row in rows]) for name in _FIGURES)
    return CurveLine(entry.key, entry_page(entry), _title(entry), entry.submission.team, heights, figures)


def _title(entry: Entry) -> str:
    return shown(entry.submission.title, CELL_LETTERS) or entry.submission.entry


def _mean(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    return percent(fmean(known)) if known else percent(math.nan)


def curve_frame() -> dict[str, Any]:
    """Returns the axes of a page of curves, for its template and its script."""
    x, y = det.x_axis(), det.y_axis()
    return {
        "x_ticks": x.ticks,
        "y_ticks": y.ticks,
        "places": " ".join(f"{x.at(rate):.1f}" for rate in det.GRID),
    }

"""Scores as readable tables for a terminal; colours and widths are the terminal's, NO_COLOR is respected."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kwsbench.printable import printable
from kwsbench.score.evaluate import Figure, KeywordScore, Score

_METHODS = {"wilson": "Wilson", "speaker_bootstrap": "speakers resampled", "clip_bootstrap": "clips resampled"}


def score_view(score: Score, origin: str) -> RenderableType:
    """Returns a score as it is shown after `kwsbench score`: summary first, then a line per keyword."""
    speakers = f", {score.num_speakers:,} speakers" if score.num_speakers else ""
    title = Text(f"{printable(origin)}: {score.num_clips:,} clips{speakers}", style="bold")
    return Group(title, _summary(score), _keywords(score))


def percent(value: float, digits: int = 2) -> str:
    """Returns a rate in percent, `n/a` where it is undefined."""
    return "n/a" if math.isnan(value) else f"{100 * value:.{digits}f} %"


def _summary(score: Score) -> Table:
    table = Table("metric", "value", "95 % interval", "clips", "interval from", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for figure in score.summary:
        clips = f"{figure.count:,} / {figure.total:,}" if figure.total is not None else ""
        undefined = math.isnan(figure.value)
        method = "" if math.isnan(figure.ci_low) else _METHODS[figure.ci_method]
        table.add_row(
            figure.metric, percent(figure.value), _interval(figure), clips, method, style="dim" if undefined else None
        )
    return table


def _interval(figure: Figure) -> str:
    if math.isnan(figure.ci_low):
        return ""
    return f"{100 * figure.ci_low:.2f} to {100 * figure.ci_high:.2f}"


def _keywords(score: Score) -> Table:
    headers = ["keyword", "clips", "FRR", "FAR", "precision", "F1"]
    headers += ["EER", "AUC", "FRR at FAR 1 %"] if score.det else []
    table = Table(*headers, box=None, pad_edge=False, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in score.keywords:
        table.add_row(*_cells(row, with_scores=bool(score.det)))
    return table


def _cells(row: KeywordScore, *, with_scores: bool) -> list[str | Text]:
    cells: list[str | Text] = [
        Text(printable(row.keyword)),
        f"{row.positives:,}",
        percent(row.frr),
        percent(row.far),
        percent(row.precision),
        percent(row.f1),
    ]
    return [*cells, *((percent(row.eer), percent(row.auc), percent(row.frr_at_far_1pct)) if with_scores else ())]

"""The part of an entry's page that its own files decide: scores, confusions, keywords, layers, how it was checked."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kwsbench.leaderboard.board import Entry
from kwsbench.leaderboard.site.checking import sentence
from kwsbench.leaderboard.site.figures import METRICS, NOTHING, count, interval, metric_name, percent
from kwsbench.leaderboard.site.plots.axes import Axis, percent_axis
from kwsbench.leaderboard.site.text import shown
from kwsbench.score.evaluate import Figure, KeywordScore, Score

_METHODS = {"wilson": "Wilson", "speaker_bootstrap": "speakers resampled", "clip_bootstrap": "clips resampled"}
_BAR_WIDTH = 120
_SHADES = 9
_MOST_LAYERS = 200
_NAME_LETTERS = 60


@dataclass(frozen=True)
class Fact:
    """A name and what it stands for."""

    name: str
    value: str


@dataclass(frozen=True)
class ScoreLine:
    """A metric of an entry; `page` is none or one address of its definition."""

    title: str
    pages: tuple[str, ...]
    value: str
    interval: str
    clips: str
    method: str


@dataclass(frozen=True)
class Cell:
    """A cell of the confusion matrix; `shade` is 0 to 9, and `d` before it means the diagonal."""

    text: str
    shade: str


@dataclass(frozen=True)
class Confusions:
    """The confusion matrix; `rows` are the true label, its cells and the number of its clips."""

    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...], str], ...]


@dataclass(frozen=True)
class Bar:
    """A rate as a bar with its interval, in units of an SVG."""

    width: str
    whisker: str


@dataclass(frozen=True)
class KeywordLine:
    """A keyword of an entry."""

    keyword: str
    clips: str
    frr: str
    frr_interval: str
    frr_bar: Bar
    far: str
    far_interval: str
    far_bar: Bar
    others: tuple[str, ...]


@dataclass(frozen=True)
class LayerLine:
    """A layer of a model; the bars are shares of the whole."""

    name: str
    kind: str
    params: str
    params_bar: str
    macs: str
    macs_bar: str


def score_lines(score: Score) -> list[ScoreLine]:
    """Returns the figures over all clips."""
    return [_score_line(figure) for figure in score.summary]


def _score_line(figure: Figure) -> ScoreLine:
    known = figure.total is not None and figure.count is not None
    return ScoreLine(
        metric_name(figure.metric).title,
        (f"metrics/{figure.metric}.html",) if figure.metric in METRICS else (),
        percent(figure.value),
        interval(figure.ci_low, figure.ci_high),
        f"{figure.count:,} of {figure.total:,}" if known else "",
        "" if math.isnan(figure.ci_low) else _METHODS[figure.ci_method],
    )


def confusions(score: Score) -> Confusions:
    """Returns the confusion matrix, shaded by the share of each true label's clips."""
    labels = tuple(shown(label, _NAME_LETTERS) for label in score.labels)
    rows = tuple(_confusion_row(label, counts, place) for place, (label, counts) in enumerate(_truths(score, labels)))
    return Confusions(labels, rows)


def _truths(score: Score, labels: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    return zip(labels, score.confusion.tolist(), strict=True)


def _confusion_row(label: str, counts: list[int], place: int) -> tuple[str, tuple[Cell, ...], str]:
    total = sum(counts)
    cells = (_cell(number, total, on_diagonal=place == at) for at, number in enumerate(counts))
    return label, tuple(cells), count(total)


def _cell(number: int, total: int, *, on_diagonal: bool) -> Cell:
    share = number / total if total else 0.0
    # Errors are rare: their shades follow the square root, so that 1 % and 4 % can be told apart.
    shade = share if on_diagonal else min(1.0, 2 * math.sqrt(share))
    level = min(_SHADES, math.ceil(_SHADES * shade)) if number else 0
    return Cell(str(number) if number else "·", f"{'d' if on_diagonal else 'e'}{level}")


def keyword_columns(score: Score) -> tuple[str, ...]:
    """Returns the titles of the columns after FRR and FAR."""
    return ("Precision", "F1", *(("EER", "AUC", "FRR at FAR 1 %", "FRR at FAR 0.1 %") if score.det else ()))


def keyword_lines(score: Score) -> list[KeywordLine]:
    """Returns a line per keyword, with bars on one axis per rate."""
    frr = percent_axis([0.0, *(row.frr_high for row in score.keywords)], 0, _BAR_WIDTH, 4)
    far = percent_axis([0.0, *(row.far_high for row in score.keywords)], 0, _BAR_WIDTH, 4)
    return [_keyword_line(row, frr, far, with_scores=bool(score.det)) for row in score.keywords]


def _keyword_line(row: KeywordScore, frr: Axis, far: Axis, *, with_scores: bool) -> KeywordLine:
    with_curve = (row.eer, row.auc, row.frr_at_far_1pct, row.frr_at_far_01pct) if with_scores else ()
    return KeywordLine(
        shown(row.keyword, _NAME_LETTERS),
        count(row.positives),
        percent(row.frr),
        interval(row.frr_low, row.frr_high, 1),
        _bar(frr, row.frr, row.frr_low, row.frr_high),
        percent(row.far),
        interval(row.far_low, row.far_high),
        _bar(far, row.far, row.far_low, row.far_high),
        tuple(map(percent, (row.precision, row.f1, *with_curve))),
    )


def _bar(axis: Axis, value: float, low: float, high: float) -> Bar:
    if math.isnan(value):
        return Bar("0", "")
    start, end = round(axis.at(low)), round(axis.at(high))
    return Bar(str(round(axis.at(value))), f"M{start} 7h{end - start}")


def layer_lines(report: Mapping[str, Any] | None) -> list[LayerLine]:
    """Returns the costs by layer, in the order of execution."""
    layers = list((report or {}).get("layers") or [])[:_MOST_LAYERS]
    most = {name: max((layer.get(name) or 0 for layer in layers), default=0) for name in ("params", "macs")}
    return [
        LayerLine(
            shown(str(layer.get("name", "")), _NAME_LETTERS) or NOTHING,
            shown(str(layer.get("kind", "")), _NAME_LETTERS),
            count(layer.get("params")),
            _share(layer.get("params"), most["params"]),
            count(layer.get("macs")),
            _share(layer.get("macs"), most["macs"]),
        )
        for layer in layers
    ]


def _share(number: int | None, most: int) -> str:
    return str(round(_BAR_WIDTH * (number or 0) / most)) if most else "0"


def findings(report: Mapping[str, Any] | None) -> list[str]:
    """Returns what the budget check has to say beside its counts."""
    return [sentence(str(finding.get("message", ""))) for finding in (report or {}).get("findings") or []]


def hashes(entry: Entry) -> list[Fact]:
    """Returns the hashes that name an entry's files and data."""
    submission = entry.submission
    named = {
        **submission.sha256,
        "everything together": entry.verification.content_sha256,
        "clips.csv": submission.clips_sha256,
    }
    return [Fact(name, shown(value, 64)) for name, value in named.items() if value]


def versions(entry: Entry) -> list[Fact]:
    """Returns the versions of what made and what checked an entry."""
    made = Fact("kwsbench (team)", shown(entry.submission.kwsbench, 40))
    checked = [Fact(shown(name, 40), shown(value, 60)) for name, value in sorted(entry.verification.versions.items())]
    return [made, *checked]


def commands(entry: Entry) -> list[str]:
    """Returns the commands that reproduce the scores and the check, in a copy of the competition."""
    submission = entry.submission
    folder = f"submissions/{submission.team}/{submission.entry}"
    data = ["--manifest", shown(submission.manifest), "--split", shown(submission.split)]
    return [
        shlex.join(["kwsbench", "submission", "verify", folder]),
        shlex.join(["kwsbench", "score", f"{folder}/{submission.predictions.name}", *data]),
    ]

"""Pictures of a score: confusion matrix, DET curves and error rates per keyword, as SVG and PNG.

Equal input gives equal bytes: the style is set here and nowhere else, and the files carry neither date nor version.
Nothing of matplotlib's global state is used or left changed: figures are objects, and pyplot is never imported.

Every picture is laid out in inches around its axes and then cut to what was drawn, so that no label is cut off,
however long it is.
"""

from __future__ import annotations

import io
import math
import textwrap
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kwsbench.errors import InputError
from kwsbench.extras import import_extra
from kwsbench.metrics.detection import CurvePoints
from kwsbench.score.evaluate import KeywordScore, Score
from kwsbench.score.terminal import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_INK, _QUIET, _FAINT = "#1a1a1a", "#595959", "#d9d9d9"

# Okabe and Ito's colours, which the colour-blind tell apart, with a dark red for their yellow, too pale on white.
_LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#882255")
_LINE_STYLES: tuple[Any, ...] = (
    "solid",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (9, 3)),
    (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)),
)
_BAR_COLOURS = {"frr": "#56B4E9", "far": "#E69F00"}

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "kwsbench",
    "svg.fonttype": "none",  # text stays text: searchable, and read out by screen readers
    "text.parse_math": False,  # a `$` in a label is a `$`
    "text.color": _INK,
    "font.sans-serif": [
        "DejaVu Sans",
        "Verdana",
        "Arial",
    ],  # the first comes with matplotlib; the others are for browsers
    "font.size": 9,
    "axes.axisbelow": True,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
}
_PNG_DPI = 150
_NO_STAMPS = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}

_LABEL_HEAD, _LABEL_TAIL = 15, 8
_DET_TICKS = (0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40, 60, 80, 90, 95, 98, 99)
_DET_LOWEST, _DET_LOWEST_OF_FEW = 0.0001, 0.05
_DET_HIGHEST = (0.4, 0.6, 0.8, 0.95)
_DET_MARGIN = 0.05  # in standard deviations, so that a line at the floor is seen whole
_LEGEND_ROW_IN = 0.19
_FIGURE_SPACE = "\u2007"


def draw_plots(score: Score, title: str) -> dict[str, bytes]:
    """Draws a score.

    Args:
        score: What to draw: at least one keyword and two labels; readable up to about 36 labels.
        title: What stands above every picture, such as the system and the data.

    Returns:
        File name to content: `confusion`, `per_keyword` and, where the score has DET curves, `det`, each as `.svg`
        and as `.png`. Equal scores and titles give equal bytes.

    Raises:
        InputError: matplotlib is not installed, or MPLBACKEND names no backend.
    """
    with _style():
        figures = {"confusion": _confusion_figure(score, title), "per_keyword": _keyword_figure(score, title)}
        if score.det:
            figures["det"] = _det_figure(score, title)
        return {
            f"{name}.{kind}": _content(figure, kind, f"{name}: {printable(title)}")
            for name, figure in figures.items()
            for kind in _NO_STAMPS
        }


def probit(rates: ArrayLike) -> NDArray[np.float64]:
    """Returns where rates stand on a DET axis: the quantiles of the standard normal distribution.

    Source: Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.

    Args:
        rates: In [0, 1], of any shape; 0 is at -inf and 1 at +inf.

    >>> probit([0.5, 0.0227501]).round(4).tolist()  # at two standard deviations 2.275 % of a normal tail is left
    [0.0, -2.0]
    """
    from scipy.special import ndtri

    return np.asarray(ndtri(np.asarray(rates, np.float64)), np.float64)


def within_axis(rates: ArrayLike, num_clips: int) -> NDArray[np.float64]:
    """Returns rates that a DET axis can show: 0 becomes half a clip, 1 all clips but half of one.

    Args:
        rates: Shares of `num_clips`, in [0, 1].
        num_clips: Clips that the rates are shares of, 0 counts as 1.

    Returns:
        The rates within [floor, 1 - floor], where the floor is half a clip, but in 0.01 % to 5 %.

    >>> within_axis([0, 0.5, 1], 50).tolist()
    [0.01, 0.5, 0.99]
    """
    floor = _floor(num_clips)
    return np.clip(np.asarray(rates, np.float64), floor, 1 - floor)


def _floor(num_clips: int) -> float:
    return min(max(0.5 / max(num_clips, 1), _DET_LOWEST), _DET_LOWEST_OF_FEW)


def printable(text: str) -> str:
    """Returns a text that fits one line of XML: spaces for line breaks and tabs, U+FFFD for what XML cannot hold."""
    return "".join(map(_printable_character, text))


def _printable_character(char: str) -> str:
    if char.isspace():
        return " "
    return "\ufffd" if unicodedata.category(char) in ("Cc", "Cs") or char in "\ufffe\uffff" else char


def short(label: str) -> str:
    """Returns a label as it is drawn: printable, and the middle of a long one left out, so that its end still tells.

    >>> short("turn_on_the_lights_in_the_living_room_now")
    'turn_on_the_lig…room_now'
    """
    text = printable(label)
    if len(text) <= _LABEL_HEAD + 1 + _LABEL_TAIL:
        return text
    return f"{text[:_LABEL_HEAD]}…{text[-_LABEL_TAIL:]}"


@contextmanager
def _style() -> Iterator[None]:
    """Sets the style, whatever the user's own is, and puts back what was there."""
    try:
        mpl = import_extra("matplotlib", "plots")
    except ValueError as error:
        raise InputError(f"matplotlib cannot be loaded; is MPLBACKEND right? ({error})") from error
    with warnings.catch_warnings(), mpl.rc_context():
        # A PNG shows a box for what the font lacks; the SVG has the text itself.
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        warnings.filterwarnings("ignore", "Matplotlib currently does not support", UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def _content(figure: Figure, kind: str, title: str) -> bytes:
    content = io.BytesIO()
    metadata = {**_NO_STAMPS[kind], "Title": title}
    figure.savefig(content, format=kind, dpi=_PNG_DPI, metadata=metadata, bbox_inches="tight", pad_inches=0.2)
    return content.getvalue()


def _figure_of(width_in: float, height_in: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in))


def _head(axes: Axes, title: str, subtitle: str) -> None:
    """Writes the title, wrapped, and what the picture shows, above the top left corner of the axes."""
    lines = textwrap.wrap(printable(title), width=60, max_lines=3, placeholder=" …")
    corner: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    axes.annotate(subtitle, (0, 1), (0, 8), fontsize=9, color=_QUIET, **corner)
    axes.annotate("\n".join(lines), (0, 1), (0, 24), fontsize=12, fontweight="bold", **corner)


# The confusion matrix.


class _Cells(NamedTuple):
    size_in: float
    font_pt: float


def _confusion_figure(score: Score, title: str) -> Figure:
    from matplotlib.colors import PowerNorm

    cells = _cells(score.confusion)
    side_in = len(score.labels) * cells.size_in
    figure = _figure_of(side_in, side_in)
    axes = figure.add_axes((0, 0, 1, 1))
    shares = _row_shares(score.confusion)
    # On the scale of the square root, so that a few errors in a hundred show.
    mesh = axes.pcolormesh(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), edgecolors=_FAINT, linewidth=0.4)
    for row, column in np.argwhere(score.confusion > 0).tolist():
        text, colour = f"{score.confusion[row, column]:,}", _ink_on(float(shares[row, column]))
        place: dict[str, Any] = {"ha": "center", "va": "center_baseline", "in_layout": False}
        axes.text(column + 0.5, row + 0.5, text, color=colour, fontsize=cells.font_pt, **place)
    _label_cells(axes, score, cells)
    _head(axes, title, "clips by truth and prediction")
    bar_in = min(side_in, 3.0)
    bar_axes = figure.add_axes((1 + 0.2 / side_in, 1 - bar_in / side_in, 0.14 / side_in, bar_in / side_in))
    bar = figure.colorbar(mesh, cax=bar_axes, label="share of the row (%)")
    bar.set_ticks([0, 0.01, 0.1, 0.25, 0.5, 1], labels=["0", "1", "10", "25", "50", "100"])
    return figure


def _cells(confusion: NDArray[np.int64]) -> _Cells:
    """Cells large enough for their counts, and all of them together on a page."""
    digits = len(f"{int(confusion.max()):,}")
    size_in = min(max(6.5 / len(confusion), 0.3, 0.065 * digits), 0.9)
    return _Cells(size_in, min(72 * size_in * 0.86 / (0.64 * digits), 72 * size_in * 0.42, 11))


def _row_shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of its row of each cell; a row without clips is 0 throughout, which is drawn empty."""
    shares: NDArray[np.float64] = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return shares


def _ink_on(share: float) -> str:
    """Black or white, whichever has the higher contrast with the shade of `share`."""
    return "white" if share > 0.51 else "black"


def _label_cells(axes: Axes, score: Score, cells: _Cells) -> None:
    names = [short(label) for label in score.labels]
    centres = np.arange(len(names)) + 0.5
    font_pt = min(max(72 * cells.size_in * 0.36, 7), 10)
    fits = max(map(_width_em, names)) * font_pt < 72 * cells.size_in * 0.94
    slant: dict[str, Any] = {} if fits else {"rotation": 45, "ha": "right", "va": "top", "rotation_mode": "anchor"}
    axes.set_xticks(centres, names, fontsize=font_pt, **slant)
    axes.set_yticks(centres, names, fontsize=font_pt)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_xlabel("prediction")
    axes.set_ylabel("truth")
    if score.num_keywords < len(names):
        axes.axhline(score.num_keywords, color=_INK, linewidth=1)
        axes.axvline(score.num_keywords, color=_INK, linewidth=1)


def _width_em(text: str) -> float:
    """About how wide a text is, in font sizes; Chinese, Japanese and Korean characters are wide."""
    return sum(1.0 if unicodedata.east_asian_width(char) in "WF" else 0.66 for char in text)


# The error rates of each keyword.


def _keyword_figure(score: Score, title: str) -> Figure:
    row_in = min(max(5 / len(score.keywords), 0.2), 0.36)
    panel_in, gap_in = 2.9, 0.9
    width_in = 2 * panel_in + gap_in
    figure = _figure_of(width_in, row_in * len(score.keywords))
    left = figure.add_axes((0, 0, panel_in / width_in, 1))
    right = figure.add_axes((1 - panel_in / width_in, 0, panel_in / width_in, 1), sharey=left)
    font_pt = min(72 * row_in * 0.5, 9)
    _bars(left, "frr", score.keywords, font_pt)
    _bars(right, "far", score.keywords, font_pt)
    left.set_xlabel("false reject rate, FRR (%)")
    right.set_xlabel("false accept rate, FAR (%)")
    names = [short(row.keyword) for row in score.keywords]
    left.set_yticks(range(len(names)), names, fontsize=font_pt)
    left.set_ylim(len(names) - 0.5, -0.5)
    right.tick_params(labelleft=False)
    _head(left, title, "error rates of each keyword, with 95 % Wilson intervals")
    return figure


def _bars(axes: Axes, metric: str, rows: Sequence[KeywordScore], font_pt: float) -> None:
    """One bar per keyword, and the rate in figures in a column on the right."""
    rates, lows, highs = (
        np.array([100 * getattr(row, metric + end) for row in rows], np.float64) for end in ("", "_low", "_high")
    )
    known = np.flatnonzero(~np.isnan(rates))
    whiskers = np.maximum([rates - lows, highs - rates], 0)[:, known]
    look: dict[str, Any] = {"height": 0.68, "color": _BAR_COLOURS[metric], "ecolor": _INK}
    axes.barh(known, rates[known], xerr=whiskers, error_kw={"elinewidth": 1, "capsize": 2}, **look)
    for place, row in enumerate(rows):
        colour = _INK if place in known else _QUIET
        right: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center_baseline"}
        axes.text(1.23, place, percent(getattr(row, metric)), color=colour, fontsize=font_pt, **right)
    axes.set_xlim(0, 1.04 * max(highs[known], default=1))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines[["top", "right"]].set_visible(False)


# The DET curves.


def _det_figure(score: Score, title: str) -> Figure:
    high = _det_highest([row.eer for row in score.keywords])
    ends_far = _det_ends([row.negatives for row in score.keywords], high)
    ends_frr = _det_ends([row.positives for row in score.keywords], high)
    unit_in = min(6.0 / float(np.ptp(ends_far)), 1.5)
    height_in = unit_in * float(np.ptp(ends_frr))
    figure = _figure_of(unit_in * float(np.ptp(ends_far)), height_in)
    axes = figure.add_axes((0, 0, 1, 1))
    for place, row in enumerate(score.keywords):
        _det_line(axes, place, row, score.det[row.keyword])
    axes.plot([-9, 9], [-9, 9], color=_QUIET, linewidth=1, linestyle=(0, (4, 4)), label="where FRR = FAR")
    _percent_axis(axes.xaxis, ends_far)
    _percent_axis(axes.yaxis, ends_frr)
    axes.set(xlim=ends_far, ylim=ends_frr)
    axes.grid()
    axes.set_xlabel("false accept rate, FAR (%)")
    axes.set_ylabel("false reject rate, FRR (%)")
    columns = math.ceil((len(score.keywords) + 1) * _LEGEND_ROW_IN / height_in)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), ncols=columns, handlelength=3.2, columnspacing=1.2)
    _head(axes, title, "detection error trade-off of each keyword, over every threshold")
    return figure


def _det_ends(clips: Sequence[int], high: float) -> NDArray[np.float64]:
    low, high = probit([min(map(_floor, clips)), high])
    return np.array([low - _DET_MARGIN, high + _DET_MARGIN])


def _det_highest(eers: Sequence[float]) -> float:
    """The end of both axes: well above every EER, because what is of interest lies around and below it."""
    worst = max((eer for eer in eers if not math.isnan(eer)), default=0.0)
    return next((end for end in _DET_HIGHEST if end >= 2 * worst), _DET_HIGHEST[-1])


def _det_line(axes: Axes, place: int, row: KeywordScore, points: CurvePoints) -> None:
    """A curve without points is not drawn, but named in the legend all the same."""
    far = probit(within_axis(points.far, row.negatives))
    frr = probit(within_axis(points.frr, row.positives))
    style, colour = divmod(place, len(_LINE_COLOURS))
    look: dict[str, Any] = {"color": _LINE_COLOURS[colour], "linestyle": _LINE_STYLES[style % len(_LINE_STYLES)]}
    # The rate comes first because matplotlib leaves out of a legend what begins with an underscore.
    name = f"EER {percent(row.eer).rjust(7, _FIGURE_SPACE)}  {short(row.keyword)}"
    axes.plot(far, frr, label=name, **look)


def _percent_axis(axis: Axis, ends: NDArray[np.float64]) -> None:
    """Ticks where `_DET_TICKS` stand on the probit axis."""
    places = probit(np.array(_DET_TICKS) / 100)
    inside = (places >= ends[0]) & (places <= ends[1])
    axis.set_ticks(places[inside].tolist(), [f"{tick:g}" for tick in np.array(_DET_TICKS)[inside]], fontsize=8)

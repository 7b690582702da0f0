"""Scores on a terminal: rendered by rich itself, with and without colours, wide and narrow."""

import io
import math
import re

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from kwsbench.predictions import Predictions, Truth
from kwsbench.score.evaluate import Bootstrap, Score, evaluate
from kwsbench.score.terminal import percent, score_view

LABELS = ("yes", "нет", "[red]on[/red]", "_unknown_")
COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-9]|4[0-9]|9[0-9]|10[0-9])(?:;[0-9]+)*m")


def _score(
    *, with_scores: bool = True, codes: int = 4, num_clips: int = 2000, labels: tuple[str, ...] = LABELS
) -> Score:
    random = np.random.default_rng(0)
    truth = random.integers(0, codes, num_clips)
    scores = random.normal(size=(len(labels), num_clips))
    scores[truth, np.arange(num_clips)] += 2
    ids = pl.Series("path", [str(row) for row in range(num_clips)])
    speakers = pl.Series("speaker_id", [f"s{row % 50}" for row in range(num_clips)])
    predictions = Predictions(scores.argmax(axis=0).astype(np.int32), tuple(scores) if with_scores else None)
    return evaluate(Truth(ids, labels, 3, truth.astype(np.int32), speakers), predictions, Bootstrap(100))


def _shown(score: Score, *, width: int = 120, terminal: bool = False, origin: str = "words, test split") -> str:
    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None)
    console.print(score_view(score, origin))
    return output.getvalue()


def test_every_metric_and_keyword_has_its_line() -> None:
    """The view begins with what was scored, then has one line per metric and one per keyword."""
    score = _score()
    lines = _shown(score).splitlines()
    assert lines[0] == "words, test split: 2,000 clips, 50 speakers"
    first_words = [line.split("  ")[0].strip() for line in lines[1:]]
    metrics, keywords = [figure.metric for figure in score.summary], list(LABELS[:3])
    assert first_words == ["metric", *metrics, "keyword", *keywords]


def test_the_figures_are_those_of_the_score() -> None:
    """Rates are in percent with two decimals, with interval, counts and what the interval is from."""
    score = _score()
    lines = {line.split("  ")[0].strip(): line for line in _shown(score).splitlines()}
    accuracy, frr = score.summary[0], score.summary[2]
    for part in (f"{100 * accuracy.value:.2f} %", f"{100 * accuracy.ci_low:.2f} to {100 * accuracy.ci_high:.2f}"):
        assert part in lines["accuracy"]
    assert f"{accuracy.count:,} / 2,000" in lines["accuracy"]
    assert lines["accuracy"].rstrip().endswith("speakers resampled")
    assert f"{frr.count:,} / {frr.total:,}" in lines["frr"]
    assert lines["frr"].rstrip().endswith("Wilson")
    yes = score.keywords[0]
    for value in (yes.frr, yes.far, yes.precision, yes.f1, yes.eer, yes.auc, yes.frr_at_far_1pct):
        assert percent(value) in lines["yes"]


def test_without_scores_there_are_no_columns_for_them() -> None:
    """EER, AUC and the FRR at a limit are shown only where there are scores."""
    text = _shown(_score(with_scores=False))
    assert "EER" not in text
    assert "macro_auc" not in text
    assert "precision" in text


def test_what_is_undefined_is_not_applicable() -> None:
    """A rate without clips is n/a, without interval, and neither nan nor 0."""
    text = _shown(_score(codes=2))
    lines = {line.split("  ")[0].strip(): line for line in text.splitlines()}
    assert "nan" not in text
    assert re.fullmatch(r"far +n/a +0 / 0 *", lines["far"])
    assert re.match(r"\[red\]on\[/red\] +0 +n/a ", lines["[red]on[/red]"])
    assert percent(math.nan) == "n/a"
    assert (percent(0.0), percent(1.0), percent(0.12345, 1)) == ("0.00 %", "100.00 %", "12.3 %")


def test_without_an_interval_nothing_says_where_it_is_from() -> None:
    """From one clip nothing can be resampled: the bootstrap's lines have no interval and no method."""
    lines = {line.split("  ")[0].strip(): line for line in _shown(_score(codes=1, num_clips=1)).splitlines()}
    assert re.fullmatch(r"macro_frr +[0-9.]+ % *", lines["macro_frr"])
    assert "Wilson" in lines["accuracy"]


def test_no_terminal_gives_plain_text() -> None:
    """Where output is no terminal there is no escape sequence in it."""
    assert "\x1b" not in _shown(_score())


def test_no_color_gives_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR a terminal gets no colours, and the same words."""
    monkeypatch.setenv("NO_COLOR", "1")
    text = _shown(_score(), terminal=True)
    assert not COLOUR.search(text)
    assert re.sub(r"\x1b\[[0-9;]*m", "", text) == _shown(_score())


@pytest.mark.parametrize("width", [80, 100, 160])
def test_lines_fit_the_terminal(width: int) -> None:
    """No line is wider than the terminal, and from 100 columns on nothing is cut."""
    text = _shown(_score(), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    if width >= 100:
        assert "…" not in text
        assert len(text.splitlines()) == 1 + 1 + 10 + 1 + 3


def test_labels_cannot_steer_the_terminal() -> None:
    """Markup in a label is shown as it is, and control characters are not sent."""
    text = _shown(_score(labels=("\x1b[2Jyes", "a\nb", "[bold]c", "_x_")), origin="a\x1b]0;title\x07.csv")
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "?[2Jyes" in text
    assert "a?b" in text
    assert "[bold]c" in text

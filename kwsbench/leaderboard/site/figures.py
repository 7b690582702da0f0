"""Figures as a page shows them: rates in percent, counts with thousands, intervals, times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

NOTHING = "\N{EN DASH}"
"""What stands where a figure is not defined or not known."""


@dataclass(frozen=True)
class MetricName:
    """What a metric is called.

    Attributes:
        name: As in `summary.csv`.
        title: In full.
        short: In the head of a narrow column.
        higher_is_better: Whether a larger figure is the better one.
    """

    name: str
    title: str
    short: str
    higher_is_better: bool = False

    @property
    def best(self) -> str:
        """Which end is the best: `high` or `low`."""
        return "high" if self.higher_is_better else "low"


METRICS = {
    metric.name: metric
    for metric in (
        MetricName("accuracy", "Accuracy", "Accuracy", higher_is_better=True),
        MetricName("balanced_accuracy", "Balanced accuracy", "Balanced", higher_is_better=True),
        MetricName("frr", "False reject rate", "FRR"),
        MetricName("far", "False accept rate", "FAR"),
        MetricName("confusion_rate", "Confusion rate", "Confusion"),
        MetricName("macro_frr", "Macro false reject rate", "Macro FRR"),
        MetricName("macro_far", "Macro false accept rate", "Macro FAR"),
        MetricName("macro_f1", "Macro F1", "Macro F1", higher_is_better=True),
        MetricName("macro_auc", "Macro AUC", "AUC", higher_is_better=True),
        MetricName("macro_eer", "Macro equal error rate", "EER"),
    )
}
"""Every metric of a summary, in its order."""


def metric_name(name: str) -> MetricName:
    """Returns what a metric is called; one that is not known keeps its name."""
    return METRICS.get(name) or MetricName(name, name, name)


def percent(rate: float, digits: int = 2) -> str:
    """Returns a rate in percent without the sign; a dash where it is undefined.

    >>> percent(0.96314), percent(float("nan")) == NOTHING
    ('96.31', True)
    """
    return NOTHING if math.isnan(rate) else f"{100 * rate:.{digits}f}"


def interval(low: float, high: float, digits: int = 2) -> str:
    r"""Returns an interval of rates in percent; a dash where there is none.

    >>> interval(0.957, 0.968, digits=1).replace("\N{EN DASH}", " to ")
    '95.7 to 96.8'
    """
    if math.isnan(low) or math.isnan(high):
        return NOTHING
    return f"{percent(low, digits)}\N{EN DASH}{percent(high, digits)}"


def count(number: int | None) -> str:
    """Returns a whole number with commas; a dash where there is none."""
    return NOTHING if number is None else f"{number:,}"


def share_of(number: int | None, limit: float | None) -> str:
    """Returns how much of a limit is used, such as `92 % of 10,000`; nothing where either is missing."""
    if number is None or not limit:
        return ""
    return f"{100 * number / limit:.0f} % of {limit:,.10g}"


def day(moment: datetime) -> str:
    """Returns the day of an instant as it was where the clock stood: `2026-11-21`."""
    return moment.date().isoformat()


def minute(moment: datetime) -> str:
    """Returns an instant to the minute, with its offset: `2026-11-21 18:30 +01:00`."""
    return f"{moment:%Y-%m-%d %H:%M} {moment.isoformat()[-6:]}"


def instant(moment: datetime) -> str:
    """Returns an instant in UTC as machines read it: `2026-11-21T17:30:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def plural(number: int, noun: str, nouns: str = "") -> str:
    """Returns a number with its noun: `1 entry`, `1,204 entries`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"

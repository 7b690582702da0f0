"""Axes of a plot: values to places, and ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import NormalDist

_NORMAL = NormalDist()
_PROBIT_TICKS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
_DAY_S = 86_400
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Tick:
    """A tick: where it is, and what stands there."""

    place: str
    label: str


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        start: Place of the low end.
        end: Place of the high end; less than `start` where the axis runs upwards.
        low: Value at the low end.
        high: Value at the high end.
        scale: What makes equal steps of values; identity, logarithm, probit.
        marks: Values at which there is a tick, and their labels.
    """

    start: float
    end: float
    low: float
    high: float
    scale: Callable[[float], float]
    marks: tuple[tuple[float, str], ...]

    def at(self, value: float) -> float:
        """Returns the place of a value; what lies beyond an end is put at that end."""
        low, high = self.scale(self.low), self.scale(self.high)
        share = (self.scale(min(max(value, self.low), self.high)) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """The ticks, from the low end."""
        return tuple(Tick(place(self.at(value)), label) for value, label in self.marks)


def place(value: float) -> str:
    """Returns a coordinate to a tenth, as short as it can be written.

    >>> place(12.04), place(-0.01)
    ('12', '0')
    """
    rounded = round(value, 1) + 0.0
    return f"{rounded:.1f}".removesuffix(".0")


def _identity(value: float) -> float:
    return value


def step_of(span: float, most_steps: int) -> float:
    """Returns the smallest of 1, 2, 5, 10, ... (times a power of ten) that fits into `span` at most so often.

    >>> step_of(0.37, 5)
    0.1
    """
    rough = span / most_steps
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def percent_axis(values: Iterable[float], start: float, end: float, most_steps: int = 6) -> Axis:
    """Returns a linear axis of rates around `values`, from tick to tick, never outside of 0 to 1."""
    known = [value for value in values if not math.isnan(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    step = step_of(max(high - low, 0.01), most_steps)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    if last * step > 1 + 1e-9:
        first, last = first - 1, last - 1
    first = max(first, 0)
    digits = max(0, -math.floor(math.log10(100 * step) + 1e-9))
    marks = tuple((number * step, f"{100 * number * step:.{digits}f}") for number in range(first, last + 1))
    return Axis(start, end, first * step, last * step, _identity, marks)


def log_axis(values: Iterable[float], start: float, end: float) -> Axis:
    """Returns a logarithmic axis of positive counts around `values`, with ticks at 1, 2, 5 times powers of ten."""
    known = [value for value in values if value > 0] or [1.0, 10.0]
    low, high = min(known) / 1.25, max(known) * 1.25
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 300 else (1,)
    within = [factor * 10**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
    return Axis(start, end, low, high, math.log10, tuple((float(value), amount(value)) for value in within))


def probit_axis(low: float, high: float, start: float, end: float) -> Axis:
    """Returns an axis of rates on which a normal distribution is a straight line, as a DET plot has it."""
    marks = tuple((rate, f"{100 * rate:g}") for rate in _PROBIT_TICKS if low <= rate <= high)
    return Axis(start, end, low, high, _NORMAL.inv_cdf, marks)


def time_axis(moments: Sequence[datetime], start: float, end: float, most_steps: int = 6) -> Axis:
    """Returns an axis of time with ticks at midnights, UTC, evenly spaced in days."""
    low, high = min(moments).timestamp(), max(moments).timestamp()
    padding = max((high - low) * 0.03, _DAY_S / 4)
    low, high = low - padding, high + padding
    days = max(1, math.ceil((high - low) / _DAY_S / most_steps))
    first = datetime.fromtimestamp(low, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    midnights = [first + timedelta(days=days * number) for number in range(most_steps + 2)]
    marks = [
        (there.timestamp(), f"{there.day} {_MONTHS[there.month - 1]}")
        for there in midnights
        if low <= there.timestamp() <= high
    ]
    return Axis(start, end, low, high, _identity, tuple(marks))


def amount(value: float) -> str:
    """Returns a count in few letters: `500`, `20k`, `1.5M`.

    >>> amount(20_000), amount(1_500_000), amount(0.5)
    ('20k', '1.5M', '0.5')
    """
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"

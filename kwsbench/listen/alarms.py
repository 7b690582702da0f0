"""From blocks of samples to alarms: a sliding window, the mean of the last posteriors, a threshold, a refractory time.

The smoothing is that of G. Chen, C. Parada and G. Heigold, "Small-footprint keyword spotting using deep neural
networks", ICASSP 2014, section 2.3, equation 2: the mean of the last `smooth` posteriors of a label, or of as many as
there are at the beginning of the stream. Each keyword is one label here, so that the smoothed posterior itself is the
score that is compared with the threshold.

Time is counted in samples at the rate of the model; nothing depends on how the stream is cut into blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kwsbench.checkpoint.header import ModelHeader
from kwsbench.errors import InputError
from kwsbench.listen import REFRACTORY_S, SHIFT_S, SMOOTH, THRESHOLD
from kwsbench.predict import Model

_MOST_SMOOTH = 1_000
_MOST_REFRACTORY_S = 3_600

_SAMPLES_AT_ONCE = 2**24

Score = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""From windows of shape (windows, samples) to the probability of each label, shape (windows, labels)."""


@dataclass(frozen=True)
class Rules:
    """When a stream raises an alarm.

    Attributes:
        keywords: The labels that can, in the order of the scores; labels after them never do.
        window_samples: What a model hears at a time.
        shift_samples: Distance between windows, at most `window_samples`, so that every sample is heard.
        smooth: How many posteriors are averaged.
        threshold: A smoothed score from which on a keyword is accepted, 0 to 1.
        refractory_samples: Time after an alarm in which the same keyword raises no other.
    """

    keywords: tuple[str, ...]
    window_samples: int
    shift_samples: int
    smooth: int
    threshold: float
    refractory_samples: int

    @classmethod
    def of_model(
        cls,
        header: ModelHeader,
        *,
        shift_s: float = SHIFT_S,
        smooth: int = SMOOTH,
        threshold: float = THRESHOLD,
        refractory_s: float = REFRACTORY_S,
    ) -> Self:
        """Returns the rules for a model, with times rounded to its samples.

        Raises:
            InputError: A figure is out of its range, or no number.
        """
        rate_hz, clip_s = header.sample_rate_hz, header.clip_samples / header.sample_rate_hz
        _check("shift_s", shift_s, 1 / rate_hz, clip_s, "the model's window: what lies between is not heard")
        _check("smooth", smooth, 1, _MOST_SMOOTH)
        _check("threshold", threshold, 0, 1)
        _check("refractory_s", refractory_s, 0, _MOST_REFRACTORY_S)
        shift, refractory = round(shift_s * rate_hz), round(refractory_s * rate_hz)
        keywords = header.labels[: header.num_keywords]
        return cls(keywords, header.clip_samples, shift, smooth, threshold, refractory)


@dataclass(frozen=True)
class Alarm:
    """A keyword that was heard.

    Attributes:
        end_sample: Where the window ends that raised it: how much was heard by then.
        keyword: The keyword.
        score: Its smoothed score, at least the threshold.
    """

    end_sample: int
    keyword: str
    score: float


@dataclass(frozen=True, eq=False)
class Reading:
    """What one window adds.

    Attributes:
        end_sample: Where it ends; the last one ends with the stream.
        scores: Smoothed score of each label, shape (labels,).
        alarms: The alarms that it raises, in the order of the labels.
    """

    end_sample: int
    scores: NDArray[np.float64]
    alarms: tuple[Alarm, ...]


def listen(blocks: Iterable[NDArray[np.float32]], score: Score, rules: Rules) -> Iterator[Reading]:
    """Listens to a stream until it ends.

    The last window, or the only one, is filled up with zeros where the stream ends within it.

    Args:
        blocks: The stream at the rate of the model, cut anyhow, shapes (samples,).
        score: What a model makes of windows; all windows that a block completes are scored together.
        rules: When there is an alarm.

    Yields:
        One reading per window, as soon as its block is there: as many as every sample needs to be heard.
    """
    recent: deque[NDArray[np.float64]] = deque(maxlen=rules.smooth)
    watch = _Watch(rules)
    for ends, windows in _windows(blocks, rules):
        for end, posteriors in zip(ends, score(windows), strict=True):
            recent.append(posteriors)
            smoothed = np.mean(recent, axis=0)
            yield Reading(end, smoothed, watch.alarms(end, smoothed))


def score_with(model: Model) -> Score:
    """Returns what a model makes of windows of audio at its own rate, as `kwsbench predict` has it."""
    return lambda windows: model.scores(model.hear(windows, model.header.sample_rate_hz))


class _Watch:
    """The threshold rule and the refractory rule."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._last: dict[str, int] = {}

    def alarms(self, end_sample: int, scores: NDArray[np.float64]) -> tuple[Alarm, ...]:
        rules = self._rules
        raised = [
            Alarm(end_sample, keyword, float(score))
            for keyword, score in zip(rules.keywords, scores, strict=False)  # background labels come after them
            if score >= rules.threshold and self._is_rested(keyword, end_sample)
        ]
        self._last |= {alarm.keyword: end_sample for alarm in raised}
        return tuple(raised)

    def _is_rested(self, keyword: str, end_sample: int) -> bool:
        return keyword not in self._last or end_sample - self._last[keyword] >= self._rules.refractory_samples


def _windows(blocks: Iterable[NDArray[np.float32]], rules: Rules) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """Where windows end, and the windows, some at a time."""
    window, shift = rules.window_samples, rules.shift_samples
    at_once = max(1, _SAMPLES_AT_ONCE // window)
    held, start, heard = np.zeros(0, np.float32), 0, 0
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= window:
            count = min(at_once, 1 + (len(held) - window) // shift)
            ends = [start + number * shift + window for number in range(count)]
            yield ends, np.lib.stride_tricks.sliding_window_view(held, window)[: count * shift : shift]
            held, start, heard = held[count * shift :], start + count * shift, ends[-1]
    if start + len(held) > heard:
        yield [start + len(held)], np.pad(held, (0, window - len(held)))[None]


def _check(name: str, value: float, least: float, most: float, most_is: str = "") -> None:
    if not least <= value <= most:  # nor is NaN
        reason = most_is and f" ({most_is})"
        raise InputError(f"{name} is {value}, expected {least:g} to {most:g}{reason}")

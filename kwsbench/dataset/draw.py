"""The deterministic draws: which clips of other words become `_unknown_`, which stretches of noise `_silence_`.

Both go by hash of names, never by the state of a random generator or the order of a folder, so that two machines
with the same audio have the same benchmark.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kwsbench.errors import InputError
from kwsbench.manifest import DrawSilence, Split

NOISE_PARTS: Mapping[Split, tuple[float, float]] = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}
"""The stretch of every noise file, as fractions of its length, that each split cuts its silence from."""


@dataclass(frozen=True)
class Silence:
    """A stretch of background noise that is one clip: samples `start_sample` on, times `gain`."""

    path: str
    start_sample: int
    gain: float


def num_to_draw(fraction: float, num_keyword_clips: int) -> int:
    """Returns how many background clips a split gets: the fraction of its keyword clips, rounded up."""
    return math.ceil(fraction * num_keyword_clips - 1e-9)


def draw_unknown(paths: Iterable[str], count: int) -> list[str]:
    """Returns the `count` paths with the lowest hash, in the order of their names (all, where there are fewer).

    >>> draw_unknown(["bed/a.wav", "cat/b.wav", "dog/c.wav"], 2) == draw_unknown(["dog/c.wav", "cat/b.wav", "bed/a.wav"], 2)
    True
    """
    return sorted(sorted(paths, key=lambda path: _hash(f"kwsbench unknown:{path}"))[:count])


def draw_silence(
    noise: Mapping[str, int], draw: DrawSilence, split: Split, count: int, clip_samples: int
) -> list[Silence]:
    """Returns `count` different stretches of `clip_samples` samples, cut from the part of each noise file that is the split's.

    Args:
        noise: Noise file to its number of samples.
        draw: The manifest's rule.
        split: The split to draw for; no two splits share a sample.
        count: How many.
        clip_samples: Length of a clip.

    Raises:
        InputError: The noise is too short to cut that many different stretches from.
    """
    parts = {path: _part(noise[path], split, clip_samples) for path in sorted(noise)}
    usable = {path: part for path, part in parts.items() if len(part)}
    if count > sum(len(part) for part in usable.values()):
        raise InputError(f"the noise in {draw.folder!r} is too short for {count} different clips of the split {split}")
    paths, drawn, number = list(usable), dict[tuple[str, int], Silence](), 0
    while len(drawn) < count:
        digest = _hash(f"kwsbench silence:{split}:{number}")
        number += 1
        path = paths[digest % len(paths)]
        start = usable[path][(digest >> 32) % len(usable[path])]
        share = ((digest >> 96) % 10_001) / 10_000
        gain = round(draw.gain_min + share * (draw.gain_max - draw.gain_min), 4)
        drawn.setdefault((path, start), Silence(path, start, gain))
    return sorted(drawn.values(), key=lambda silence: (silence.path, silence.start_sample))


def noise_stretch(num_samples: int, split: Split) -> range:
    """Returns the samples of a noise file of so many samples that the silence of a split may be cut from."""
    low, high = NOISE_PARTS[split]
    return range(math.ceil(low * num_samples), math.floor(high * num_samples))


def _part(num_samples: int, split: Split, clip_samples: int) -> range:
    """The samples at which a clip of the split may begin."""
    stretch = noise_stretch(num_samples, split)
    return range(stretch.start, stretch.stop - clip_samples + 1)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "little")

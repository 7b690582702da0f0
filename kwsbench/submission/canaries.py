"""Canary clips: test clips changed so little that a person hears the same word, and a look-up table another clip.

A table of answers knows the test clips by their samples or features, and any change makes them strangers to it: its
accuracy falls to that of chance, or of whatever it falls back on. A model that has learnt the words keeps nearly all
of its accuracy. So each canary asks for the net loss: clips that were right and now are wrong, less those that were
wrong and now are right. Over `MOST_LOST` of the clips, and more than chance explains (McNemar's exact test under
`SIGNIFICANCE`), is what no honest model that we have measured comes near: twelve baselines with three seeds each, on
500 validation clips of Speech Commands v0.01, lost at most 1.0 point when moved, 0.8 points with the noise, and 1.2
points at another gain (`benchmarks/canaries.py`). Without a truth the labels of the unchanged clips stand in for it, and
`MOST_CHANGED` of them may change; those models changed at most 8.2 %. The noise is as low as that because a network
that was trained without noise hears a louder one.

What it cannot see: a table whose answers are worth under `MOST_LOST` of the accuracy, and a model that was trained on
the test clips like on any others.

Which clips are taken, how far each is moved and which noise it gets follows from the hash of the model: it is the same
in every run, and nobody can write a table of the changed clips into the model, because the model would be another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kwsbench.metrics.paired import mcnemar_exact, paired_table
from kwsbench.submission.record import Canary

NUM_CLIPS = 500
MOST_LOST = 0.05
MOST_CHANGED = 0.25
SIGNIFICANCE = 0.001

UNCHANGED = "as they are"

_SHIFT_S = (0.002, 0.010)
_SNR_DB = 60.0
_QUIETER_DB = (1.0, 3.0)
_QUIETEST_CLIP = 1e-6  # mean square: digital silence gets noise, too

Samples = NDArray[np.float32]
Codes = NDArray[np.int64]
_Change = Callable[[Samples, int, np.random.Generator], Samples]


def chosen(clip_ids: Sequence[str], seed: str) -> NDArray[np.int64]:
    """Returns which clips become canaries: at most `NUM_CLIPS`, their places in ascending order.

    Args:
        clip_ids: Ids of all clips.
        seed: Hash of the model.
    """
    order = sorted(range(len(clip_ids)), key=lambda place: _hash(seed, clip_ids[place]))
    return np.array(sorted(order[:NUM_CLIPS]), np.int64)


def changed_clips(
    samples: Samples, clip_ids: Sequence[str], sample_rate_hz: int, seed: str
) -> Iterator[tuple[str, Samples]]:
    """Yields the name of each change, and the clips with it.

    Args:
        samples: The clips as they are, shape (clips, samples), in -1..1.
        clip_ids: Their ids.
        sample_rate_hz: Their rate.
        seed: Hash of the model.
    """
    for name, change in _CHANGES.items():
        generators = (np.random.default_rng(list(_hash(seed, name, clip_id))) for clip_id in clip_ids)
        clips = [change(clip, sample_rate_hz, random) for clip, random in zip(samples, generators, strict=True)]
        yield name, np.stack(clips).astype(np.float32)


def _hash(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()


def _moved(clip: Samples, sample_rate_hz: int, random: np.random.Generator) -> Samples:
    low, high = (max(1, round(limit * sample_rate_hz)) for limit in _SHIFT_S)
    by = int(random.integers(low, max(low, high) + 1)) * int(random.choice([-1, 1]))
    moved = np.zeros_like(clip)
    moved[max(by, 0) : len(clip) + min(by, 0)] = clip[max(-by, 0) : len(clip) - max(by, 0)]
    return moved


def _noisy(clip: Samples, _sample_rate_hz: int, random: np.random.Generator) -> Samples:
    power = max(float(np.mean(np.square(clip, dtype=np.float64))), _QUIETEST_CLIP)
    amplitude = np.sqrt(power * 10 ** (-_SNR_DB / 10))
    return np.asarray(clip + amplitude * random.standard_normal(len(clip)))


def _quieter(clip: Samples, _sample_rate_hz: int, random: np.random.Generator) -> Samples:
    return np.asarray(clip * 10 ** (-random.uniform(*_QUIETER_DB) / 20))


_CHANGES: dict[str, _Change] = {
    "moved by 2 to 10 ms": _moved,
    "with noise 60 dB below": _noisy,
    "1 to 3 dB quieter": _quieter,
}


def canary(name: str, before: Codes, after: Codes, truth: Codes | None) -> Canary:
    """Returns what a change does to a model.

    Args:
        name: The change.
        before: Labels of the unchanged clips, shape (clips,).
        after: Labels of the changed clips.
        truth: True labels; None where they are not known.
    """
    accuracy = None if truth is None else float(np.mean(after == truth))
    return Canary(name, len(before), int(np.count_nonzero(before != after)), accuracy)


def verdict_on(name: str, before: Codes, after: Codes, truth: Codes | None) -> str:
    """Returns why this looks like a table of answers, in words; empty where it does not. Arguments as for `canary`."""
    num_changes = np.count_nonzero(before != after)
    if truth is None:
        return f"{num_changes:,} of {len(before):,} labels change" if num_changes > MOST_CHANGED * len(before) else ""
    counts = paired_table(before == truth, after == truth)
    lost = (counts.only_a - counts.only_b) / len(before)
    if lost <= MOST_LOST or mcnemar_exact(counts.only_a, counts.only_b) >= SIGNIFICANCE:
        return ""
    accuracies = (100 * float(np.mean(codes == truth)) for codes in (before, after))
    return f"{next(accuracies):.1f} % of the clips are right {UNCHANGED}, {next(accuracies):.1f} % {name}"

"""Inputs that a model is run on to find out what it costs: silence, noise, loud and speech-like sound, real clips.

A model may skip work where it hears nothing, or do more where it hears much. Every probe is the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_SEED = 0
_FORMANTS_HZ = ((700, 130), (1220, 70), (2600, 160))
"""Centre and bandwidth of the resonances of an open vowel (Peterson and Barney, 1952, men's /a/)."""
_PITCH_HZ = 120
_SYLLABLES_PER_S = 4
_PHASES = 1_024
_LOUDNESS = 8
_LOG_MEL_MEAN, _LOG_MEL_SD, _SMOOTH_FRAMES = -8.0, 4.0, 5


def waveforms(sample_rate_hz: int, num_samples: int, clips: Sequence[Floats] = ()) -> dict[str, Floats]:
    """Returns sounds by what they are.

    Args:
        sample_rate_hz: Rate of the audio.
        num_samples: Length of every sound, at least 1.
        clips: Real clips, each of shape `[num_samples]` in -1..1; they are called `clip 1`, `clip 2` and so on.

    Returns:
        `silence`, `noise`, `speech`, `loud` (speech that is clipped at full scale) and the clips, each of shape
        `[num_samples]` in -1..1.
    """
    noise = np.random.default_rng(_SEED).uniform(-0.5, 0.5, num_samples)
    speech = _speech(sample_rate_hz, num_samples)
    made = {"silence": np.zeros(num_samples), "noise": noise, "speech": speech, "loud": _LOUDNESS * speech}
    sounds = {name: np.clip(sound, -1, 1).astype(np.float32) for name, sound in made.items()}
    return sounds | {f"clip {number}": np.asarray(clip, np.float32) for number, clip in enumerate(clips, 1)}


def feature_probes(shape: tuple[int, ...]) -> dict[str, Floats]:
    """Returns inputs for a model whose front-end is not known, by what they are.

    Args:
        shape: Shape of one input, batch first; the last axis is time.

    Returns:
        `zeros`, `ones`, `noise` (standard normal), `loud` (a hundred times that) and `log-mel` (random values with the
        mean and spread of log-mel energies of speech, smooth over time).
    """
    random = np.random.default_rng(_SEED)
    noise = random.standard_normal(shape)
    made = {
        "zeros": np.zeros(shape),
        "ones": np.ones(shape),
        "noise": noise,
        "loud": 100 * noise,
        "log-mel": _log_mel_like(random, shape),
    }
    return {name: one.astype(np.float32) for name, one in made.items()}


def _speech(sample_rate_hz: int, num_samples: int) -> NDArray[np.float64]:
    # A pulse train whose harmonics are weighted by resonances, louder and softer with each syllable; peak 0.5 at most.
    seconds = np.arange(num_samples) / sample_rate_hz
    voiced = np.interp(_PITCH_HZ * seconds % 1, np.linspace(0, 1, _PHASES), _glottal_cycle(sample_rate_hz))
    syllables: NDArray[np.float64] = np.sin(np.pi * _SYLLABLES_PER_S * seconds) ** 2
    return 0.5 * voiced * syllables


def _glottal_cycle(sample_rate_hz: int) -> NDArray[np.float64]:
    harmonics = np.arange(1, max(2, sample_rate_hz // (2 * _PITCH_HZ)))
    phases = np.linspace(0, 1, _PHASES)
    cycle: NDArray[np.float64] = np.sin(2 * np.pi * np.outer(phases, harmonics)) @ _resonance(harmonics * _PITCH_HZ)
    peak: np.float64 = np.abs(cycle).max()
    return cycle / peak


def _resonance(frequencies_hz: NDArray[np.int64]) -> NDArray[np.float64]:
    distances = [(frequencies_hz - centre) / (width / 2) for centre, width in _FORMANTS_HZ]
    gains: NDArray[np.float64] = np.sum([1 / (1 + distance**2) for distance in distances], axis=0)
    return gains


def _log_mel_like(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    frames = shape[-1]
    rough = random.standard_normal((*shape[:-1], frames + _SMOOTH_FRAMES - 1))
    windows = np.lib.stride_tricks.sliding_window_view(rough, _SMOOTH_FRAMES, axis=-1)
    smooth: NDArray[np.float64] = windows.sum(axis=-1) / np.sqrt(_SMOOTH_FRAMES)
    return _LOG_MEL_MEAN + _LOG_MEL_SD * smooth

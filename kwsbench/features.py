"""Front-ends: log-mel energies and mel-frequency cepstral coefficients (MFCC) of many clips at once.

Conventions, which follow librosa's: frames are centred on multiples of the hop and the edges are reflected; the
window is a periodic Hann window, centred in the Fourier transform where it is shorter; mel bands are triangles on
the frequency axis of the transform; energies are clamped before the logarithm; the cosine transform of MFCC is
orthonormal and nothing is liftered. `kwsbench.front_end.FrontEnd` holds the settings.

The Fourier transform runs in double precision, because a quiet band beside a loud one drowns in the rounding errors
of a single-precision transform; sums of energies, which are positive, are single precision.

Sources: S. B. Davis and P. Mermelstein, "Comparison of parametric representations for monosyllabic word recognition
in continuously spoken sentences", IEEE Transactions on Acoustics, Speech, and Signal Processing 28(4), 1980 (MFCC);
D. O'Shaughnessy, "Speech Communication: Human and Machine", 1987, page 150 (the `htk` mel scale); S. Young et al.,
"The HTK Book", sections 5.4 and 5.6 (the same scale in use, bands with peaks at 1); M. Slaney, "Auditory Toolbox",
Interval Research Corporation technical report 1998-010, 1998 (the `slaney` scale and norm).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from kwsbench.front_end import FrontEnd

FloatArray = npt.NDArray[np.float32]

# What is transformed at a time: 1 MB as double precision, so that a block stays in the processor's cache.
_SAMPLES_PER_BLOCK = 2**17

_SLANEY_HZ_PER_MEL = 200 / 3
_SLANEY_LOG_FROM_HZ = 1000.0
_SLANEY_LOG_FROM_MEL = _SLANEY_LOG_FROM_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = math.log(6.4) / 27


def extract(samples: npt.NDArray[np.floating], front_end: FrontEnd, sample_rate_hz: int) -> FloatArray:
    """Computes what `front_end.kind` asks for: `log_mel` or `mfcc`, with their arguments, shapes and errors."""
    compute = mfcc if front_end.kind == "mfcc" else log_mel
    return compute(samples, front_end, sample_rate_hz)


def log_mel(samples: npt.NDArray[np.floating], front_end: FrontEnd, sample_rate_hz: int) -> FloatArray:
    """Computes log-mel energies; a clip's values do not depend on the clips beside it.

    Args:
        samples: Clips in [-1, 1), shape (clips, num_samples).
        front_end: The settings; of an `mfcc` front-end, its log-mel part is computed.
        sample_rate_hz: Sample rate of the clips.

    Returns:
        Float32 of shape (clips, num_mels, frames): the natural logarithm (`ln`), the decimal one (`log10`) or ten
        times the decimal one (`db`) of the bands' energies, or of their magnitudes where `power` is 1, clamped to
        `log_floor`.

    Raises:
        ValueError: The clips are too short for one frame or for the reflection at their edges, `samples` is not
            two-dimensional, or the bands do not fit below half the sample rate.
    """
    without_mfcc = front_end.model_copy(update={"kind": "log_mel", "num_mfcc": None})
    return _in_blocks(samples, without_mfcc, _constants(without_mfcc, sample_rate_hz))


def mfcc(samples: npt.NDArray[np.floating], front_end: FrontEnd, sample_rate_hz: int) -> FloatArray:
    """Computes MFCC: the first `num_mfcc` coefficients of the cosine transform of each frame's log-mel energies.

    Davis & Mermelstein 1980, equation 1, with an orthonormal transform and coefficient 0 included.

    Args:
        samples: Clips in [-1, 1), shape (clips, num_samples).
        front_end: The settings, with `num_mfcc`.
        sample_rate_hz: Sample rate of the clips.

    Returns:
        Float32 of shape (clips, num_mfcc, frames).

    Raises:
        ValueError: As `log_mel`, or `front_end` has no `num_mfcc`.
    """
    if front_end.num_mfcc is None:
        raise ValueError("a log_mel front-end has no num_mfcc: make it one with FrontEnd.with_mfcc")
    return _in_blocks(samples, front_end, _constants(front_end, sample_rate_hz))


def mel_filters(front_end: FrontEnd, sample_rate_hz: int) -> FloatArray:
    """Returns the mel bands as weights of the bins of the spectrum.

    Band m is a triangle from edge m over edge m + 1, its peak, to edge m + 2; the num_mels + 2 edges are equally
    spaced on the mel scale from `f_min_hz` to `f_max_hz`. A band that no bin falls into is zero throughout.

    Args:
        front_end: The settings: `num_mels`, `f_min_hz`, `f_max_hz`, `mel_scale`, `mel_norm`, `n_fft`.
        sample_rate_hz: Sample rate, which says where the bins lie.

    Returns:
        Float32 of shape (num_mels, n_fft // 2 + 1). Peaks are at 1 with `mel_norm` `none`; with `slaney`
        each band is multiplied by 2 / (its width in Hz), which gives every triangle the area 1.

    Raises:
        ValueError: `f_min_hz` to `f_max_hz` does not lie within 0 to half the sample rate.
    """
    bins_hz = np.fft.rfftfreq(front_end.n_fft, 1 / sample_rate_hz)
    edges_hz = _band_edges_hz(front_end, sample_rate_hz)
    low, peak, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    weights = np.maximum(0, np.minimum((bins_hz - low) / (peak - low), (high - bins_hz) / (high - peak)))
    if front_end.mel_norm == "slaney":
        weights *= 2 / (high - low)
    return weights.astype(np.float32)


def dct_matrix(num_mfcc: int, num_mels: int) -> FloatArray:
    """Returns the first rows of the orthonormal DCT-II, C[k, m] = s_k sqrt(2 / M) cos(pi k (2 m + 1) / (2 M)).

    Here M = `num_mels`, s_0 = sqrt(1 / 2) and every other s_k = 1, so that with num_mfcc = M the rows are orthonormal.

    Returns:
        Float32 of shape (num_mfcc, num_mels).

    Raises:
        ValueError: `num_mfcc` is over `num_mels`.
    """
    if num_mfcc > num_mels:
        raise ValueError(f"{num_mfcc} coefficients cannot be had from {num_mels} mel bands: num_mfcc is over num_mels")
    order, band = np.arange(num_mfcc)[:, None], np.arange(num_mels)
    rows: npt.NDArray[np.float64] = np.sqrt(2 / num_mels) * np.cos(np.pi * order * (2 * band + 1) / (2 * num_mels))
    rows[0] *= np.sqrt(0.5)
    return rows.astype(np.float32)


def _band_edges_hz(front_end: FrontEnd, sample_rate_hz: int) -> npt.NDArray[np.float64]:
    half_hz = sample_rate_hz / 2
    f_max_hz = half_hz if front_end.f_max_hz is None else front_end.f_max_hz
    if not front_end.f_min_hz < f_max_hz <= half_hz:
        raise ValueError(
            f"mel bands from {front_end.f_min_hz:g} to {f_max_hz:g} Hz do not fit below half the sample rate, "
            f"{half_hz:g} Hz"
        )
    from_hz, to_hz = (_htk_from_hz, _htk_to_hz) if front_end.mel_scale == "htk" else (_slaney_from_hz, _slaney_to_hz)
    return to_hz(np.linspace(from_hz(front_end.f_min_hz), from_hz(f_max_hz), front_end.num_mels + 2))


def _htk_from_hz(frequency_hz: float) -> float:
    return 2595 * math.log10(1 + frequency_hz / 700)


def _htk_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 700 * (np.power(10, mel / 2595) - 1)


def _slaney_from_hz(frequency_hz: float) -> float:
    if frequency_hz < _SLANEY_LOG_FROM_HZ:
        return frequency_hz / _SLANEY_HZ_PER_MEL
    return _SLANEY_LOG_FROM_MEL + math.log(frequency_hz / _SLANEY_LOG_FROM_HZ) / _SLANEY_LOG_STEP


def _slaney_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    logarithmic = _SLANEY_LOG_FROM_HZ * np.exp((mel - _SLANEY_LOG_FROM_MEL) * _SLANEY_LOG_STEP)
    return np.where(mel < _SLANEY_LOG_FROM_MEL, mel * _SLANEY_HZ_PER_MEL, logarithmic)


@dataclass(frozen=True)
class _Block:
    """Some frames of some clips: as many as are transformed at a time."""

    clips: slice
    frames: slice

    def stretch(self, samples: npt.NDArray[np.floating], front_end: FrontEnd) -> npt.NDArray[np.floating]:
        """The samples that the frames of this block cover, shape (clips, samples), reflected beyond the edges."""
        num_samples = samples.shape[1]
        start = self.frames.start * front_end.hop_samples - (front_end.n_fft // 2 if front_end.center else 0)
        stop = start + (self.frames.stop - self.frames.start - 1) * front_end.hop_samples + front_end.n_fft
        before, after = max(0, -start), max(0, stop - num_samples)
        inside = samples[self.clips, start + before : stop - after]
        if not before and not after:
            return inside
        mirrored_before = samples[self.clips, 1 : before + 1][:, ::-1]
        mirrored_after = samples[self.clips, num_samples - 1 - after : num_samples - 1][:, ::-1]
        return np.concatenate([mirrored_before, inside, mirrored_after], axis=1)


def _blocks(num_clips: int, num_frames: int, n_fft: int) -> Iterator[_Block]:
    frames_at_once = max(1, _SAMPLES_PER_BLOCK // n_fft)
    clips_at_once = max(1, frames_at_once // num_frames)
    for clip in range(0, num_clips, clips_at_once):
        for frame in range(0, num_frames, frames_at_once):
            last_frame = min(frame + frames_at_once, num_frames)
            yield _Block(slice(clip, clip + clips_at_once), slice(frame, last_frame))


@dataclass(frozen=True)
class _Constants:
    """What does not depend on the samples.

    Both matrices are sparse, `transform` too, which is not: that keeps BLAS out, whose threads and the caller's would
    hinder each other at products as small as these, and which may round a clip differently beside other clips.
    """

    window: npt.NDArray[np.float64]
    filters: Any
    transform: Any | None


@lru_cache(maxsize=16)
def _constants(front_end: FrontEnd, sample_rate_hz: int) -> _Constants:
    from scipy.sparse import csr_array

    transform = None if front_end.num_mfcc is None else csr_array(dct_matrix(front_end.num_mfcc, front_end.num_mels))
    return _Constants(_window(front_end), csr_array(mel_filters(front_end, sample_rate_hz)), transform)


def _window(front_end: FrontEnd) -> npt.NDArray[np.float64]:
    length = front_end.window_samples
    before = (front_end.n_fft - length) // 2
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return np.pad(hann, (before, front_end.n_fft - length - before))


def _in_blocks(samples: npt.NDArray[np.floating], front_end: FrontEnd, constants: _Constants) -> FloatArray:
    """Log-mel energies, or MFCC where there is a transform, with temporaries of a few megabytes."""
    num_clips, num_frames = len(samples), _num_frames(samples, front_end)
    result = np.empty((num_clips, front_end.num_mfcc or front_end.num_mels, num_frames), np.float32)
    for block in _blocks(num_clips, num_frames, front_end.n_fft):
        spectrum = _spectrum(block.stretch(samples, front_end), constants.window, front_end)  # (clips, frames, bins)
        energies = constants.filters @ spectrum.reshape(-1, spectrum.shape[2]).T  # (bands, clips x frames)
        rows = _log(energies, front_end)
        if constants.transform is not None:
            rows = constants.transform @ rows
        result[block.clips, :, block.frames] = rows.reshape(-1, *spectrum.shape[:2]).transpose(1, 0, 2)
    return result


def _num_frames(samples: npt.NDArray[np.floating], front_end: FrontEnd) -> int:
    if samples.ndim != 2:
        raise ValueError(f"samples have the shape {samples.shape}, which is not (clips, num_samples)")
    num_samples = samples.shape[1]
    needed = front_end.fewest_samples
    if num_samples < needed:
        purpose = "the reflection at its edges" if front_end.center else "one frame"
        raise ValueError(f"a clip of {num_samples} samples is too short: {purpose} takes {needed}; pad it first")
    return front_end.num_frames(num_samples)


def _spectrum(
    stretch: npt.NDArray[np.floating], window: npt.NDArray[np.float64], front_end: FrontEnd
) -> npt.NDArray[np.float32]:
    """Magnitudes to the power `front_end.power`, shape (clips, frames, bins)."""
    frames = np.lib.stride_tricks.sliding_window_view(stretch, front_end.n_fft, axis=1)[:, :: front_end.hop_samples]
    transform = np.fft.rfft(frames * window).astype(np.complex64)
    energies = np.square(transform.real) + np.square(transform.imag)
    return energies if front_end.power == 2 else np.sqrt(energies)


def _log(energies: FloatArray, front_end: FrontEnd) -> FloatArray:
    clamped = np.maximum(energies, np.float32(front_end.log_floor))
    if front_end.log == "ln":
        return np.log(clamped)
    decades = np.log10(clamped)
    return decades if front_end.log == "log10" else np.float32(10) * decades

"""The pitch of clips at the speed that they have: stretched in time by a phase vocoder, then read that much faster.

Source of the vocoder: J. L. Flanagan and R. M. Golden, "Phase vocoder", Bell System Technical Journal 45(9), 1966, in
the form of J. Laroche and M. Dolson, "Improved phase vocoder time-scale modification of audio", IEEE Transactions on
Speech and Audio Processing 7(3), 1999, sections II and III.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kwsbench.augmentation.resampling import resample

_WINDOW_S = 0.032
_HOPS_IN_WINDOW = 4
_LEAST_ENERGY = 1e-20  # so that silence has some rotation


def shift_pitch(samples: Tensor, semitones: Tensor, sample_rate_hz: int) -> Tensor:
    """Raises or lowers each clip's pitch, formants included; what it says, it says at the same time.

    Source of the augmentation: J. Salamon and J. P. Bello, "Deep convolutional neural networks and data augmentation
    for environmental sound classification", IEEE Signal Processing Letters 24(3), 2017 (pitch shifting, there by 1, 2,
    2.5 and 3.5 semitones either way).

    Args:
        samples: Float32 (clips, samples).
        semitones: Float32 (clips,); 12 double all frequencies.
        sample_rate_hz: Sample rate of the clips.
    """
    if not len(samples):
        return samples
    ratios = torch.exp2(semitones / 12)
    return resample(_stretch(samples, ratios, sample_rate_hz), ratios, samples.shape[1])


def _stretch(samples: Tensor, factors: Tensor, sample_rate_hz: int) -> Tensor:
    """Makes each clip longer by its factor at the same pitch; silence follows, in a batch as long as its longest."""
    n_fft = max(8, 1 << round(math.log2(_WINDOW_S * sample_rate_hz)))
    hop = n_fft // _HOPS_IN_WINDOW
    window = torch.hann_window(n_fft, device=samples.device)
    before_silence = torch.nn.functional.pad(samples, (0, n_fft))
    num_outputs = math.ceil(before_silence.shape[1] * float(factors.max())) + n_fft // 2
    spectrum = torch.stft(before_silence, n_fft, hop, window=window, pad_mode="constant", return_complex=True)
    frames = _at_other_times(spectrum.transpose(1, 2), factors, 2 + num_outputs // hop)
    return torch.istft(frames.transpose(1, 2), n_fft, hop, window=window, length=num_outputs)


def _at_other_times(spectrum: Tensor, factors: Tensor, num_outputs: int) -> Tensor:
    """Frames as they would be at 0, 1 / factor, 2 / factor, ..: (clips, frames, bins) to (clips, num_outputs, bins).

    Magnitudes are interpolated. A phase goes on, from one frame made to the next, by as much as it does there from
    one frame given to the next: as far apart as those are, whole turns need not be known.
    """
    last = spectrum.shape[1] - 2
    times = (torch.arange(num_outputs, device=spectrum.device) / factors[:, None]).clamp(max=last + 1)
    left = times.long().clamp(max=last)
    magnitudes, phases = spectrum.abs(), spectrum.angle()
    between = torch.lerp(_frames(magnitudes, left), _frames(magnitudes, left + 1), (times - left)[..., None])
    advances = torch.cat([phases[:, :1], _frames(phases.diff(dim=1), left[:, :-1])], dim=1)
    given = _frames(phases, left)
    phases = given + _locked(advances.cumsum(dim=1) - given, between)
    return torch.complex(between * phases.cos(), between * phases.sin())  # on a CPU four times as fast as torch.polar


def _locked(rotations: Tensor, magnitudes: Tensor) -> Tensor:
    """Rotates neighbouring bins alike: by the mean of a bin's and its neighbours' rotations, weighted by energy.

    Otherwise the bins of one harmonic drift apart, and half of a clip's energy is lost. It is a simple form of the
    identity phase locking of Laroche and Dolson, section III, which takes the rotation of the nearest peak.

    Args:
        rotations: From the phases given to those made, in radians: (clips, frames, bins).
        magnitudes: Of the same shape.
    """
    energies = magnitudes.square() + _LEAST_ENERGY
    return torch.atan2(_with_neighbours(energies * rotations.sin()), _with_neighbours(energies * rotations.cos()))


def _with_neighbours(bins: Tensor) -> Tensor:
    """Adds to each bin those beside it, as far as a Hann window spreads a sine."""
    padded = torch.nn.functional.pad(bins, (1, 1))
    return bins + padded[..., :-2] + padded[..., 2:]


def _frames(frames: Tensor, indexes: Tensor) -> Tensor:
    """Takes each clip's own frames: (clips, frames, bins) and (clips, n) to (clips, n, bins)."""
    clips = torch.arange(len(frames), device=frames.device)[:, None]
    return frames[clips, indexes]

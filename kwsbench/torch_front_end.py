"""Front-ends in torch: what `kwsbench.features` computes, for batches, on any device and with gradients.

Conventions and settings are those of `kwsbench.features`, whose mel bands and cosine transform this uses. The Fourier
transform runs in double precision here too: in single precision quiet bands beside loud ones are wrong by up to 4e-3.

Importing this module imports torch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kwsbench.features import dct_matrix, mel_filters
from kwsbench.front_end import FrontEnd

# So many samples at a time, as double precision: what a frame becomes stays in the processor's cache.
_SAMPLES_PER_BLOCK = 2**16
_BANDS_PER_GROUP = 16  # the products of fewer are slow


def torch_front_end(front_end: FrontEnd, sample_rate_hz: int) -> nn.Module:
    """Makes a front-end for batches, within 1e-4 of `kwsbench.features.extract`.

    The module takes samples in [-1, 1), float32 of shape (clips, num_samples), on any device, and gives float32 of
    shape (clips, coefficients, frames) on the same one, the same under autocast and whatever precision products of
    matrices may have. It is differentiable, has no parameters, and stores nothing in a state dict. A clip too short
    raises ValueError. On Apple's GPUs, which have no double precision, quiet bands are less exact.

    Args:
        front_end: The settings.
        sample_rate_hz: Sample rate of the clips.

    Raises:
        ValueError: The mel bands do not fit below half the sample rate.
    """
    return TorchFrontEnd(front_end, sample_rate_hz)


class TorchFrontEnd(nn.Module):
    """Log-mel energies or MFCC; see `torch_front_end`."""

    filters: Tensor
    transform: Tensor | None

    def __init__(self, front_end: FrontEnd, sample_rate_hz: int) -> None:
        super().__init__()
        self.front_end = front_end
        filters = torch.from_numpy(mel_filters(front_end, sample_rate_hz))
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)  # (bins, bands)
        self._groups = _groups(filters)
        transform = None
        if front_end.num_mfcc is not None:
            transform = torch.from_numpy(dct_matrix(front_end.num_mfcc, front_end.num_mels)).T.contiguous()
        self.register_buffer("transform", transform, persistent=False)  # (bands, coefficients)

    def forward(self, samples: Tensor) -> Tensor:
        """Turns samples of shape (clips, num_samples) into features of shape (clips, coefficients, frames)."""
        _check_length(samples, self.front_end)
        if samples.shape[0] == 0:  # which a Fourier transform refuses
            return torch.zeros(0, *self.front_end.shape(samples.shape[1]), device=samples.device)
        window = _window(self.front_end, samples.device)
        # On a processor products of matrices are in single precision: faster, and as exact as those of `features`.
        precision = torch.float32 if samples.device.type == "cpu" else window.dtype
        filters = [(bins, self.filters[bins, bands].to(precision)) for bins, bands in self._groups]
        # Double precision knows no autocast.
        with torch.autocast("cpu", enabled=False):
            return torch.cat([self._features(block, window, filters) for block in _blocks(samples)])

    def _features(self, samples: Tensor, window: Tensor, filters: list[tuple[slice, Tensor]]) -> Tensor:
        frames = _frames(samples.to(window.dtype), self.front_end)  # (clips, frames, window_samples)
        # A shift of the window in the transform turns phases alone, so that zeros on one side do as well as on both.
        spectrum = torch.fft.rfft(frames * window, self.front_end.n_fft)
        energies = _power(spectrum, self.front_end, filters[0][1].dtype)  # (clips, frames, bins)
        rows = _log(torch.cat([energies[..., bins] @ weights for bins, weights in filters], -1), self.front_end)
        if self.transform is not None:
            rows = rows @ self.transform.to(rows.dtype)  # (clips, frames, coefficients)
        return rows.transpose(1, 2).to(torch.float32)


def _groups(filters: Tensor) -> list[tuple[slice, slice]]:
    """Neighbouring mel bands, and the bins that any of them hears: half of all products are with zero otherwise."""
    groups = []
    for first in range(0, len(filters), _BANDS_PER_GROUP):
        bands = slice(first, first + _BANDS_PER_GROUP)
        heard = filters[bands].any(0).nonzero().flatten().tolist() or [0]
        groups.append((slice(heard[0], heard[-1] + 1), bands))
    return groups


def _check_length(samples: Tensor, front_end: FrontEnd) -> None:
    needed = front_end.fewest_samples
    if samples.ndim != 2 or samples.shape[1] < needed:
        raise ValueError(f"samples have the shape {tuple(samples.shape)}, which is not (clips, {needed} or more)")


def _blocks(samples: Tensor) -> tuple[Tensor, ...]:
    if samples.device.type != "cpu" or torch.compiler.is_compiling():
        return (samples,)
    return torch.split(samples, max(1, _SAMPLES_PER_BLOCK // samples.shape[1]))


def _window(front_end: FrontEnd, device: torch.device) -> Tensor:
    """The Hann window in the precision of the Fourier transform, shape (window_samples,)."""
    precision = torch.float32 if device.type == "mps" else torch.float64
    steps = torch.arange(front_end.window_samples, dtype=precision, device=device)
    return 0.5 - 0.5 * torch.cos(2 * math.pi * steps / len(steps))


def _power(spectrum: Tensor, front_end: FrontEnd, precision: torch.dtype) -> Tensor:
    """Magnitudes to the power `front_end.power`, shape (clips, frames, bins)."""
    squares = torch.view_as_real(spectrum).to(precision).square_()
    energies: Tensor = squares[..., 0] + squares[..., 1]
    if front_end.power == 2:
        return energies
    return energies.clamp_min(torch.finfo(energies.dtype).tiny).sqrt()  # whose slope at 0 is infinite


def _frames(samples: Tensor, front_end: FrontEnd) -> Tensor:
    """What the window covers of each frame, shape (clips, frames, window_samples), reflected beyond the edges."""
    n_fft, hop, window, num_samples = front_end.n_fft, front_end.hop_samples, front_end.window_samples, samples.shape[1]
    before = n_fft // 2 if front_end.center else 0
    covered = (front_end.num_frames(num_samples) - 1) * hop + n_fft
    after = max(0, covered - before - num_samples)
    mirrored_before = samples[:, 1 : before + 1].flip(1)
    mirrored_after = samples[:, num_samples - 1 - after : num_samples - 1].flip(1)
    stretch = torch.cat([mirrored_before, samples, mirrored_after], 1) if before or after else samples
    offset = (n_fft - window) // 2
    return stretch[:, offset : offset + covered - n_fft + window].unfold(1, window, hop)


def _log(energies: Tensor, front_end: FrontEnd) -> Tensor:
    clamped = energies.clamp_min(front_end.log_floor)
    if front_end.log == "ln":
        return clamped.log()
    return clamped.log10() if front_end.log == "log10" else 10 * clamped.log10()

"""Moves in time: a clip's samples with zeros in the place of what left, a spectrogram's frames round and round."""

from __future__ import annotations

import torch
from torch import Tensor


def shift(samples: Tensor, later: Tensor) -> Tensor:
    """Moves each clip in time; what leaves at one end is lost, and zeros come in at the other.

    Source: R. Tang and J. Lin, "Deep residual learning for small-footprint keyword spotting", ICASSP 2018, experimental
    setup, after the recipe of P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition",
    arXiv:1804.03209, 2018: uniform from -100 to 100 ms.

    Args:
        samples: Float32 (clips, samples).
        later: By how many samples each clip comes later, int64 (clips,), best on a processor; below 0 it comes earlier.
    """
    most, num_samples = max(later.abs().tolist(), default=0), samples.shape[1]
    if not most:
        return samples
    within_silence = torch.nn.functional.pad(samples, (most, most))
    starts = (most - later).tolist()
    return torch.stack([row[start:][:num_samples] for row, start in zip(within_silence, starts, strict=True)])


def roll(features: Tensor, later: Tensor) -> Tensor:
    """Moves the frames of each clip in time; what leaves at one end comes in at the other.

    Source: Y. Gong, Y.-A. Chung and J. Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021, in its official
    code (src/dataloader.py): by up to 10 frames either way, after the masks of SpecAugment.

    Args:
        features: Float32 (clips, coefficients, frames).
        later: By how many frames each clip comes later, int64 (clips,); below 0 it comes earlier.
    """
    num_frames = features.shape[2]
    origins = (torch.arange(num_frames, device=features.device) - later[:, None]) % num_frames
    return features.gather(2, origins[:, None, :].expand_as(features))

"""BC-ResNet-1: two-dimensional residual blocks whose dear part is one-dimensional, and is broadcast back.

What it is: the smallest network of "Broadcasted Residual Learning for Efficient Keyword Spotting" (Kim et al., 2021). A
block looks for patterns over frequency with one cheap filter per channel, then takes the mean over frequency and does
the rest over time alone; what comes out is added to every frequency again, so that the picture stays two-dimensional.

1. Convolution 5 x 5 with stride 2 over frequency to 16 tau channels, batch normalisation, ReLU.
2. Blocks of 8 (two), 12 (two), 16 (four) and 20 (four) tau channels, with dilation 1, 2, 4 and 8 over time. The first
   of each width is a transition: it begins with a convolution 1 x 1 to the new channels, batch normalisation and ReLU,
   and has no way around it; those to 12 and 16 also halve the frequencies. Then in every block:
   f2: one filter of 3 frequencies per channel, sub-spectral normalisation over 5 bands;
   f1: mean over frequency, one dilated filter of 3 frames per channel, batch normalisation, swish, convolution 1 x 1,
   channel-wise dropout 0.1;
   output: ReLU of f1 broadcast over frequency + f2 + input (no input in a transition).
3. One filter 5 x 5 per channel without padding over frequency, convolution 1 x 1 to 32 tau channels, batch
   normalisation, ReLU, mean, convolution 1 x 1 to one score per label.

Sub-spectral normalisation (Chang et al., 2021) is batch normalisation by band of frequencies, with a scale and a shift
per channel and band.

Input: 40 log-mels, windows of 30 ms every 10 ms (three times the manifest's hop, which is 10 ms in every one that
ships), shape (batch, 40, 101) for one second; the number of coefficients must be a multiple of 40.
Output: one score per label; softmax makes them probabilities.
Recipe: as published, momentum SGD (0.9) with batches of 100, 200 epochs, learning rate up to 0.1 in 5 epochs and by a
cosine to 0, L2 penalty 1e-3, four clips of five shifted by up to 100 ms, and four of five with background noise; from
tau = 1.5 on also SpecAugment: two masks of up to 19 frames, and two of up to 0, 2, 4 or 6 bands for a tau of 1.5, 2, 3
or 6 and more.

Counts: 9,232 parameters, the published 9.2k. Convolutions take 2,482,156 multiply-accumulates at the 101 frames of the
official code and 2,408,440, the published 2.41M, at 98; the paper's own table says 3.1M and does not say what it
counts. Normalisation, swish and means add 287,276.

Deviations from the source: 1e-6 is a floor of the energies, there added to them; background noise lies evenly from 30
to 70 dB below the clip, which is what amplitudes up to 0.1, there, come to in nine clips of ten; a clip is shifted or
not whether or not it gets noise, there both or neither; masks hold the clip's mean, there 0; silence is what the
manifest draws, there noise of any amplitude that is drawn anew in every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Augmentation, Recipe

SOURCE = (
    "Kim, B., Chang, S., Lee, J. and Sung, D. (2021). Broadcasted Residual Learning for Efficient Keyword Spotting."
    " Interspeech. arXiv:2106.04140; https://github.com/Qualcomm-AI-research/bcresnet."
    " Normalisation: Chang, S., Park, H., Cho, J., Park, H., Yun, S. and Hwang, K. (2021). SubSpectral Normalization"
    " for Neural Audio Data Processing. ICASSP. arXiv:2103.13620."
)
PUBLISHED_ACCURACY = {"speech_commands_v1_12": 96.6, "speech_commands_v2_12": 96.9}
NUM_PARAMETERS = 9_232
MACS = 2_769_432

_NUM_COEFFICIENTS = 40
_NUM_BANDS = 5
_STAGES = ((2, 1.0, 1), (2, 1.5, 2), (4, 2.0, 2), (4, 2.5, 1))  # blocks, width, stride over frequency
_MASKED_BANDS = {6.0: 6, 3.0: 4, 2.0: 2, 1.5: 0}  # least tau, widest mask over frequency


@dataclass(frozen=True)
class Config:
    """Sizes of the network.

    Attributes:
        tau: Width, by which all numbers of channels are multiplied and rounded down.
        dropout: Fraction of the channels that training leaves out in each block.
    """

    tau: float = field(default=1.0, metadata={"least": 0.25, "most": 16.0})
    dropout: float = field(default=0.1, metadata={"least": 0.0, "most": 0.9})


def front_end(_config: Config, default: FrontEnd) -> FrontEnd:
    """Returns the log-mel front-end of the source, in units of the manifest's hop."""
    window = 3 * default.hop_samples
    return FrontEnd(
        kind="log_mel",
        window_samples=window,
        hop_samples=default.hop_samples,
        n_fft=1 << (window - 1).bit_length(),
        num_mels=_NUM_COEFFICIENTS,
        log_floor=1e-6,
    )


def recipe(config: Config) -> Recipe:
    """Returns the published recipe; SpecAugment depends on the width."""
    widest = next((bands for tau, bands in _MASKED_BANDS.items() if config.tau >= tau), None)
    return Recipe(
        epochs=200,
        batch_size=100,
        optimiser="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=1e-3,
        schedule="cosine",
        warmup_epochs=5,
        augmentation=Augmentation(
            shift_s=0.1,
            shift_probability=0.8,
            noise_snr_db=(30.0, 70.0),
            noise_probability=0.8,
            time_masks=0 if widest is None else 2,
            time_mask_s=0.0 if widest is None else 0.19,
            frequency_masks=2 if widest else 0,
            frequency_mask_bands=widest or 0,
        ),
    )


def network(config: Config, num_labels: int, num_coefficients: int, _num_frames: int) -> nn.Module:
    """Returns the network; features of shape (batch, coefficients, frames) give scores of shape (batch, labels).

    Raises:
        ValueError: The coefficients do not divide into the bands of frequencies.
    """
    if num_coefficients % _NUM_COEFFICIENTS:
        raise ValueError(f"{num_coefficients} coefficients are not a multiple of {_NUM_COEFFICIENTS}")
    base = int(8 * config.tau)
    blocks: list[nn.Module] = []
    channels = 2 * base
    for stage, (num_blocks, width, stride) in enumerate(_STAGES):
        outputs = int(width * base)
        blocks.append(_Block(channels, outputs, stride, 2**stage, config.dropout))
        blocks += [_Block(outputs, outputs, 1, 2**stage, config.dropout) for _ in range(num_blocks - 1)]
        channels = outputs
    return nn.Sequential(*_head(2 * base), *blocks, *_classifier(channels, 4 * base, num_labels))


def _head(channels: int) -> list[nn.Module]:
    return [
        nn.Unflatten(1, (1, -1)),  # (batch, 1, coefficients, frames)
        nn.Conv2d(1, channels, 5, stride=(2, 1), padding=2, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]


def _classifier(num_inputs: int, channels: int, num_labels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(num_inputs, num_inputs, 5, padding=(0, 2), groups=num_inputs, bias=False),
        nn.Conv2d(num_inputs, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(channels, num_labels, 1),
        nn.Flatten(),
    ]


class _Block(nn.Module):
    """A broadcasted residual block; (batch, inputs, frequencies, frames) to (batch, outputs, .., frames)."""

    def __init__(self, num_inputs: int, num_outputs: int, stride: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.is_transition = num_inputs != num_outputs
        entrance: list[nn.Module] = [
            nn.Conv2d(num_inputs, num_outputs, 1, bias=False),
            nn.BatchNorm2d(num_outputs),
            nn.ReLU(),
        ]
        self.f2 = nn.Sequential(
            *(entrance if self.is_transition else ()),
            nn.Conv2d(num_outputs, num_outputs, (3, 1), (stride, 1), (1, 0), groups=num_outputs, bias=False),
            _SubSpectralNorm(num_outputs),
        )
        self.f1 = nn.Sequential(
            nn.Conv2d(
                num_outputs, num_outputs, (1, 3), 1, (0, dilation), (1, dilation), groups=num_outputs, bias=False
            ),
            nn.BatchNorm2d(num_outputs),
            nn.SiLU(),
            nn.Conv2d(num_outputs, num_outputs, 1, bias=False),
            nn.Dropout2d(dropout),
        )

    def forward(self, features: Tensor) -> Tensor:
        spectral: Tensor = self.f2(features)
        temporal: Tensor = self.f1(spectral.mean(dim=2, keepdim=True))  # (batch, outputs, 1, frames)
        mixed = temporal + spectral
        return torch.relu(mixed if self.is_transition else mixed + features)


class _SubSpectralNorm(nn.Module):
    """Batch normalisation of each channel by band of frequencies; (batch, channels, frequencies, frames) stays."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels * _NUM_BANDS)

    def forward(self, features: Tensor) -> Tensor:
        _, channels, frequencies, frames = features.shape
        by_band = features.reshape(-1, channels * _NUM_BANDS, frequencies // _NUM_BANDS, frames)
        normalised: Tensor = self.norm(by_band).reshape(-1, channels, frequencies, frames)
        return normalised.contiguous(memory_format=torch.channels_last)  # as the convolutions want it

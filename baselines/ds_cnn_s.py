"""DS-CNN, small: depthwise separable convolutions over time and frequency, the reference of MLPerf Tiny.

What it is: the network of the keyword spotting task of MLPerf Tiny (Banbury et al., 2021), which is the DS-CNN-S of
"Hello Edge" (Zhang et al., 2017) with dropout. A convolution is split in two: one filter per channel over time and
frequency, then a mixture of the channels at each point.

1. Convolution over 10 frames x 4 coefficients, stride 2 in both, to 64 channels, batch normalisation, ReLU, dropout
   0.2.
2. Four times: depthwise convolution 3 x 3, batch normalisation, ReLU; convolution 1 x 1, batch normalisation, ReLU.
3. Dropout 0.4, mean over time and frequency, linear layer to one score per label.

Input: 10 MFCC of 40 mel bands from 20 to 4,000 Hz, windows of 40 ms every 20 ms (four and two times the manifest's hop,
which is 10 ms in every one that ships), shape (batch, 10, 49) for one second.
Output: one score per label; softmax makes them probabilities.
Recipe: as published by MLPerf Tiny, Adam with batches of 100, 36 epochs, 12 each at learning rates 5e-4, 1e-4 and 2e-5,
L2 penalty 1e-4 on the weights of convolutions, clips shifted by up to 100 ms, background noise in four clips of five.

Counts: 23,756 parameters, the published 23.8k (Keras prints 24,908 with the 1,152 running statistics), and 2,656,768
multiply-accumulates in convolutions and linear layer, the published 2.66M; batch normalisation and the mean add 72,064.

Deviations from the sources: the mean is over all 25 frames, as in "Hello Edge", where MLPerf's pooling of 24 x 5 drops
the last one; padding is the same on both sides, where TensorFlow pads one frame less at the start; a frame's Fourier
transform has as many points as its window has samples, there the next power of two; weights start as torch starts
them. In training the penalty, 1e-4 of the sum of squares and so a weight decay of 2e-4, is on all weights; background
noise lies evenly from 30 to 70 dB below the clip, which is what amplitudes up to 0.1, there, come to in nine clips of
ten; silence is what the manifest draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Augmentation, Recipe

SOURCE = (
    "Banbury, C. et al. (2021). MLPerf Tiny Benchmark. arXiv:2106.07597; https://github.com/mlcommons/tiny."
    " After Zhang, Y., Suda, N., Lai, L. and Chandra, V. (2017). Hello Edge: Keyword Spotting on Microcontrollers."
    " arXiv:1711.07128."
)
PUBLISHED_ACCURACY = {"speech_commands_v2_12": 92.0}  # about 92, with a quality target of 90
NUM_PARAMETERS = 23_756
MACS = 2_728_832


@dataclass(frozen=True)
class Config:
    """Sizes of the network.

    Attributes:
        channels: Channels of every convolution.
        num_blocks: Depthwise separable convolutions.
        first_dropout: Fraction of the values that training leaves out after the first convolution.
        last_dropout: Fraction of the values that training leaves out before the mean.
    """

    channels: int = field(default=64, metadata={"least": 1, "most": 512})
    num_blocks: int = field(default=4, metadata={"least": 0, "most": 16})
    first_dropout: float = field(default=0.2, metadata={"least": 0.0, "most": 0.9})
    last_dropout: float = field(default=0.4, metadata={"least": 0.0, "most": 0.9})


def front_end(_config: Config, default: FrontEnd) -> FrontEnd:
    """Returns the MFCC front-end of the sources, in units of the manifest's hop."""
    window = 4 * default.hop_samples
    return FrontEnd(
        kind="mfcc",
        window_samples=window,
        hop_samples=2 * default.hop_samples,
        n_fft=window,
        num_mels=40,
        f_min_hz=20.0,
        f_max_hz=4000.0,
        power=1,
        center=False,
        log_floor=1e-6,
        num_mfcc=10,
    )


def recipe(_config: Config) -> Recipe:
    """Returns the recipe of MLPerf Tiny."""
    return Recipe(
        epochs=36,
        batch_size=100,
        optimiser="adam",
        learning_rate=5e-4,
        weight_decay=2e-4,
        schedule="steps",
        step_epochs=(1 / 3, 2 / 3),
        step_factor=0.2,
        augmentation=Augmentation(shift_s=0.1, noise_snr_db=(30.0, 70.0), noise_probability=0.8),
    )


def network(config: Config, num_labels: int, _num_coefficients: int, _num_frames: int) -> nn.Module:
    """Returns the network; features of shape (batch, coefficients, frames) give scores of shape (batch, labels)."""
    channels = config.channels
    blocks = [layer for _ in range(config.num_blocks) for layer in _separable(channels)]
    return nn.Sequential(
        nn.Unflatten(1, (1, -1)),  # (batch, 1, coefficients, frames)
        nn.Conv2d(1, channels, kernel_size=(4, 10), stride=2, padding=(1, 5)),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Dropout(config.first_dropout),
        *blocks,
        nn.Dropout(config.last_dropout),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, num_labels),
    )


def _separable(channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel_size=1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]

"""TC-ResNet8: a residual network that convolves over time only, the mel coefficients being its channels.

What it is: the smaller network of "Temporal Convolution for Real-time Keyword Spotting on Mobile Devices" (Choi et al.,
2019). A two-dimensional convolution must be deep before it sees low and high frequencies together; here the first layer
already sees all of them, so the network stays shallow and fast.

1. Convolution over 3 frames, from 40 coefficients to 16 k channels, batch normalisation, ReLU.
2. Residual blocks to 24 k, 32 k and 48 k channels. Each: convolution over 9 frames with stride 2, batch normalisation,
   ReLU; convolution over 9 frames, batch normalisation. The shortcut is a convolution with kernel 1 and stride 2, batch
   normalisation, ReLU; where the channels stay the same (only in `tc_resnet14`), it is the input itself and no stride
   is taken. The two are added, and ReLU follows.
3. Mean over time, dropout 0.5, linear layer without bias to one score per label.

Input: 40 MFCC of 64 mel bands from 80 to 7,600 Hz, windows of 30 ms every 10 ms (three times the manifest's hop, which
is 10 ms in every one that ships), not centred, shape (batch, 40, 98) for one second.
Output: one score per label; softmax makes them probabilities.
Recipe: as published, momentum SGD (0.9) with batches of 100, 30,000 steps, learning rate 0.1, then 0.01 from step
10,000 and 0.001 from step 20,000, L2 penalty 1e-3, clips shifted by up to 100 ms, background noise in four clips of
five. These steps are 135 epochs of `speech_commands_v1_12`.

Counts: 1,522,560 multiply-accumulates in convolutions and linear layer, the published 1.52M (3M FLOPs); batch
normalisation and the mean add 9,416. The published 66k parameters are these 65,168 and 656 running statistics.

Deviations from the source: padding is the same on both sides, where TensorFlow pads one frame less at the start of an
even number of frames; a frame's Fourier transform has 480 points, there 512, since a clip would otherwise lose its last
frame; the code's second head of two outputs, which the paper does not have, is left out; weights start as torch starts
them. In training the penalty is on all weights, there on those of convolutions and linear layer; background noise lies
evenly from 30 to 70 dB below the clip, which is what amplitudes up to 0.1, there, come to in nine clips of ten; silence
is what the manifest draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Augmentation, Recipe

SOURCE = (
    "Choi, S., Seo, S., Shin, B., Byun, H., Kersner, M., Kim, B., Kim, D. and Ha, S. (2019). Temporal Convolution for"
    " Real-time Keyword Spotting on Mobile Devices. Interspeech. arXiv:1904.03814;"
    " https://github.com/hyperconnect/TC-ResNet."
)
PUBLISHED_ACCURACY = {"speech_commands_v1_12": 96.1}
NUM_PARAMETERS = 65_168
MACS = 1_531_976

_CHANNELS = (16, 24, 32, 48)


@dataclass(frozen=True)
class Config:
    """Sizes of the network.

    Attributes:
        k: Width multiplier, by which all numbers of channels are multiplied and rounded down.
        dropout: Fraction of the values that training leaves out before the last layer.
    """

    k: float = field(default=1.0, metadata={"least": 0.25, "most": 8.0})
    dropout: float = field(default=0.5, metadata={"least": 0.0, "most": 0.9})


def front_end(_config: Config, default: FrontEnd) -> FrontEnd:
    """Returns the MFCC front-end of the source, in units of the manifest's hop."""
    window = 3 * default.hop_samples
    return FrontEnd(
        kind="mfcc",
        window_samples=window,
        hop_samples=default.hop_samples,
        n_fft=window,
        num_mels=64,
        f_min_hz=80.0,
        f_max_hz=7600.0,
        center=False,
        log_floor=1e-6,
        num_mfcc=40,
    )


def recipe(_config: Config) -> Recipe:
    """Returns the published recipe."""
    return Recipe(
        epochs=135,
        batch_size=100,
        optimiser="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=1e-3,
        schedule="steps",
        step_epochs=(1 / 3, 2 / 3),
        augmentation=Augmentation(shift_s=0.1, noise_snr_db=(30.0, 70.0), noise_probability=0.8),
    )


def network(config: Config, num_labels: int, num_coefficients: int, _num_frames: int) -> nn.Module:
    """Returns the network; features of shape (batch, coefficients, frames) give scores of shape (batch, labels)."""
    return tc_resnet(_CHANNELS, config, num_coefficients, num_labels)


def tc_resnet(channels: Sequence[int], config: Config, num_coefficients: int, num_labels: int) -> nn.Module:
    """Returns a TC-ResNet of any depth.

    Args:
        channels: Channels of the first convolution and of each block, for k = 1.
        config: Width and dropout.
        num_coefficients: Coefficients of a frame.
        num_labels: How many scores it gives.
    """
    first, *rest = (int(config.k * size) for size in channels)
    return nn.Sequential(
        *_convolution(num_coefficients, first, kernel_size=3),
        nn.ReLU(),
        *(_Residual(num_inputs, num_outputs) for num_inputs, num_outputs in pairwise((first, *rest))),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Dropout(config.dropout),
        nn.Linear(rest[-1], num_labels, bias=False),
    )


class _Residual(nn.Module):
    """Two convolutions over time, and the way around them; (batch, inputs, frames) to (batch, outputs, frames)."""

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        stride = 1 if num_inputs == num_outputs else 2
        self.body = nn.Sequential(
            *_convolution(num_inputs, num_outputs, kernel_size=9, stride=stride),
            nn.ReLU(),
            *_convolution(num_outputs, num_outputs, kernel_size=9),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(*_convolution(num_inputs, num_outputs, kernel_size=1, stride=stride), nn.ReLU())
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.body(features) + self.shortcut(features))


def _convolution(num_inputs: int, num_outputs: int, kernel_size: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv1d(num_inputs, num_outputs, kernel_size, stride, padding=kernel_size // 2, bias=False),
        nn.BatchNorm1d(num_outputs),
    ]

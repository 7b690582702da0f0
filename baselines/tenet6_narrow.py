"""TENet6-narrow: inverted bottlenecks over time, one long filter per channel.

What it is: the smallest network of "Small-Footprint Keyword Spotting with Multi-Scale Temporal Convolution" (Li, Wei &
Qin, 2020). Like TC-ResNet it convolves over time only, and like MobileNetV2 it widens the channels, filters each alone,
and narrows them again.

1. Convolution over 3 frames, from 40 coefficients to 16 channels, batch normalisation, ReLU.
2. Three stages of two blocks. Each block: convolution with kernel 1 to 48 channels, batch normalisation, ReLU; one
   filter of 9 frames per channel, batch normalisation, ReLU; convolution with kernel 1 to 16 channels, batch
   normalisation. Its input is added, and no ReLU follows. The first block of a stage takes stride 2 in the filters, and
   its input passes a convolution with kernel 1 and stride 2 and batch normalisation.
3. Mean over time, dropout 0.5, linear layer without bias to one score per label.

Input: 40 MFCC of 64 mel bands from 80 to 7,600 Hz, windows of 30 ms every 10 ms (three times the manifest's hop, which
is 10 ms in every one that ships), not centred, shape (batch, 40, 98) for one second.
Output: one score per label; softmax makes them probabilities.
Recipe: as published, Adam with batches of 100, 30,000 steps, learning rate 0.01, then 0.001 from step 10,000 and 1e-4
from step 20,000, L2 penalty 4e-5, clips shifted by up to 100 ms, background noise in four clips of five. These steps
are 135 epochs of `speech_commands_v1_12`.

Counts: 16,160 parameters and 618,336 multiply-accumulates in convolutions and linear layer, the 16.2k and 0.62M that
the architecture is quoted with; batch normalisation and the mean add 26,544. The paper counts less: its 2.9M for
TENet12 (4 blocks per stage, 32 channels) is had only by counting the first convolution of a strided block on the frames
that are left after the stride, whereas the official code takes the stride in the filters, after it.

Deviations from the source: the published accuracy is that of multi-scale training, in which filters of 3, 5, 7 and 9
frames stand side by side, each with its batch normalisation, and are folded into one afterwards; here the folded
network is the only one. Batch normalisation has a scale, which the official code leaves out. Padding is the same on
both sides, where TensorFlow pads one frame less at the start of an even number of frames; a frame's Fourier transform
has 480 points, there 512, since a clip would otherwise lose its last frame; weights start as torch starts them. In
training the penalty is on all weights, there on those of convolutions and linear layer; background noise lies evenly
from 30 to 70 dB below the clip, which is what amplitudes up to 0.1, there, come to in nine clips of ten; silence is
what the manifest draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Augmentation, Recipe

SOURCE = (
    "Li, X., Wei, X. and Qin, X. (2020). Small-Footprint Keyword Spotting with Multi-Scale Temporal Convolution."
    " Interspeech. arXiv:2010.09960; https://github.com/Interlagos/TENet-kws."
)
PUBLISHED_ACCURACY = {"speech_commands_v1_12": 96.0}  # about 96.0, unconfirmed, with multi-scale training
NUM_PARAMETERS = 16_160
MACS = 644_880

_NUM_STAGES = 3


@dataclass(frozen=True)
class Config:
    """Sizes of the network.

    Attributes:
        channels: Channels between the blocks: 16 in the narrow networks, 32 in the others.
        expansion: How many times as many channels there are inside a block.
        blocks_per_stage: Blocks in each of the three stages: 2 in TENet6, 4 in TENet12.
        kernel_size: Frames that a filter sees; odd.
        dropout: Fraction of the values that training leaves out before the last layer.
    """

    channels: int = field(default=16, metadata={"least": 1, "most": 256})
    expansion: int = field(default=3, metadata={"least": 1, "most": 8})
    blocks_per_stage: int = field(default=2, metadata={"least": 1, "most": 8})
    kernel_size: int = field(default=9, metadata={"least": 1, "most": 31})
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
    """Returns the published recipe, without multi-scale training."""
    return Recipe(
        epochs=135,
        batch_size=100,
        optimiser="adam",
        learning_rate=0.01,
        weight_decay=4e-5,
        schedule="steps",
        step_epochs=(1 / 3, 2 / 3),
        augmentation=Augmentation(shift_s=0.1, noise_snr_db=(30.0, 70.0), noise_probability=0.8),
    )


def network(config: Config, num_labels: int, num_coefficients: int, _num_frames: int) -> nn.Module:
    """Returns the network; features of shape (batch, coefficients, frames) give scores of shape (batch, labels).

    Raises:
        ValueError: `kernel_size` is even.
    """
    if config.kernel_size % 2 == 0:
        raise ValueError(f"kernel_size is {config.kernel_size}, expected an odd number")
    strides = [2] + [1] * (config.blocks_per_stage - 1)
    return nn.Sequential(
        *_convolution(num_coefficients, config.channels, kernel_size=3),
        nn.ReLU(),
        *(_Bottleneck(config, stride) for _ in range(_NUM_STAGES) for stride in strides),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Dropout(config.dropout),
        nn.Linear(config.channels, num_labels, bias=False),
    )


class _Bottleneck(nn.Module):
    """An inverted bottleneck; (batch, channels, frames) to (batch, channels, frames / stride)."""

    def __init__(self, config: Config, stride: int) -> None:
        super().__init__()
        inside = config.expansion * config.channels
        self.body = nn.Sequential(
            *_convolution(config.channels, inside),
            nn.ReLU(),
            *_convolution(inside, inside, kernel_size=config.kernel_size, stride=stride, groups=inside),
            nn.ReLU(),
            *_convolution(inside, config.channels),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(*_convolution(config.channels, config.channels, stride=stride))
        )

    def forward(self, features: Tensor) -> Tensor:
        added: Tensor = self.body(features) + self.shortcut(features)
        return added


def _convolution(
    num_inputs: int, num_outputs: int, kernel_size: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv1d(num_inputs, num_outputs, kernel_size, stride, kernel_size // 2, groups=groups, bias=False),
        nn.BatchNorm1d(num_outputs),
    ]

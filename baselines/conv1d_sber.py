"""The course baseline of the Sber keyword homework: two grouped convolutions over time and a small classifier.

What it is: the network that the Speech Technology course hands out with the competition `keyword-spotting-mipt` (2023
to 2025), which every team sets out to beat within 10,000 parameters and 1,000,000 multiply-accumulates per second.

1. Twice: grouped convolution over time (kernel 3, stride 2, 32 groups) to 32 channels, ReLU, convolution with kernel 1
   to 32 channels, batch normalisation, ReLU, max-pooling 2. In the first, each group sees two neighbouring mel bands;
   in the second, each sees one channel.
2. Mean over time, linear layer to 16, ReLU, linear layer to the labels, log-softmax.

Input: 64 log-mels, windows of 25 ms every 10 ms (two and a half times the manifest's hop, which is 10 ms in every one
that ships), shape (batch, 64, 101) for one second.
Output: the logarithm of each label's probability.
Recipe: as published, Adam with learning rate 1e-3, batches of 128, gradients clipped to norm 1, 8,000 steps; nothing is
augmented.

Counts: with the course's 5 labels 3,205 parameters and 74,832 multiply-accumulates in convolutions and linear layers;
`thop` says 82,992, because it counts 4 per element of batch normalisation and the additions of the mean as well. Below,
as for every baseline, they stand for 12 labels.

Deviations from the source: 8,000 steps are 10.5 passes over the course's 97,268 clips; here it is 11 epochs. The module
list is the course's, one ReLU shared there, one per place here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Recipe

SOURCE = (
    "Speech Technology course, week 3 (2023 to 2025), baseline of the in-class competition"
    " `keyword-spotting-mipt-2025`, Kaggle; https://github.com/georgygospodinov/speech_course."
)
PUBLISHED_ACCURACY: dict[str, float] = {}  # the course publishes none
NUM_PARAMETERS = 3_324
MACS = 76_972

_FEWEST_FRAMES = 21  # what leaves one frame after two convolutions and two poolings


@dataclass(frozen=True)
class Config:
    """Sizes of the network.

    Attributes:
        channels: Channels and groups of the convolutions; the number of mel bands must be a multiple of it.
        hidden_size: Outputs of the hidden linear layer.
    """

    channels: int = field(default=32, metadata={"least": 1, "most": 512})
    hidden_size: int = field(default=16, metadata={"least": 1, "most": 1024})


def front_end(_config: Config, default: FrontEnd) -> FrontEnd:
    """Returns the course's log-mel front-end, in units of the manifest's hop."""
    window = 5 * default.hop_samples // 2
    return FrontEnd(
        kind="log_mel",
        window_samples=window,
        hop_samples=default.hop_samples,
        n_fft=window,
        num_mels=64,
        log_floor=1e-9,
    )


def recipe(_config: Config) -> Recipe:
    """Returns the course's recipe."""
    return Recipe(
        epochs=11,
        batch_size=128,
        optimiser="adam",
        learning_rate=1e-3,
        schedule="constant",
        clip_norm=1.0,
        outputs_log_probabilities=True,
    )


def network(config: Config, num_labels: int, num_coefficients: int, num_frames: int) -> nn.Module:
    """Returns the network; features of shape (batch, coefficients, frames) give scores of shape (batch, labels).

    Raises:
        ValueError: The coefficients do not divide into the groups, or there are too few frames.
    """
    if num_coefficients % config.channels:
        raise ValueError(f"{num_coefficients} coefficients do not divide into {config.channels} groups")
    if num_frames < _FEWEST_FRAMES:
        raise ValueError(f"{num_frames} frames are too few, it needs {_FEWEST_FRAMES}")
    return nn.Sequential(
        *_block(num_coefficients, config.channels),
        *_block(config.channels, config.channels),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(config.channels, config.hidden_size),
        nn.ReLU(),
        nn.Linear(config.hidden_size, num_labels),
        nn.LogSoftmax(-1),
    )


def _block(num_inputs: int, channels: int) -> list[nn.Module]:
    return [
        nn.Conv1d(num_inputs, channels, kernel_size=3, stride=2, groups=channels),
        nn.ReLU(),
        nn.Conv1d(channels, channels, kernel_size=1),
        nn.BatchNorm1d(channels),
        nn.ReLU(),
        nn.MaxPool1d(2),
    ]

"""A feed-forward network on flattened MFCC: the plainest neural network for keywords.

What it is: the smallest `DNN` of "Hello Edge" (Zhang et al., 2017). All MFCC of the clip lie side by side in one
vector, and fully connected layers follow, so the network knows nothing of time or frequency and must see a word at
every place where it may lie.

1. Flatten: 10 coefficients x 25 frames = 250 numbers.
2. Three times: linear layer to 144, ReLU.
3. Linear layer to one score per label.

Switches that a course tries on it, all off as published: batch normalisation before each ReLU, dropout after it, and an
L2 penalty on the weights, which is part of the recipe.

Input: 10 MFCC of 40 mel bands from 20 to 4,000 Hz, windows of 40 ms every 40 ms without overlap (four times the
manifest's hop, which is 10 ms in every one that ships), shape (batch, 10, 25) for one second.
Output: one score per label; softmax makes them probabilities.
Recipe: as published, Adam with batches of 100, 10,000 steps each at learning rates 5e-4, 1e-4 and 2e-5, clips shifted
by up to 100 ms, background noise in four clips of five. These 30,000 steps are 135 epochs of `speech_commands_v1_12`.

Counts: 79,644 parameters and 79,200 multiply-accumulates, which are the paper's 80.0 KB at 8 bits and its 158.8k
operations (multiplications, additions and biases).

Deviations from the source: a frame's Fourier transform has as many points as its window has samples, there the next
power of two; weights start as torch starts them. In training background noise lies evenly from 30 to 70 dB below the
clip, which is what amplitudes up to 0.1, there, come to in nine clips of ten; silence is what the manifest draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Augmentation, Recipe

SOURCE = (
    "Zhang, Y., Suda, N., Lai, L. and Chandra, V. (2017). Hello Edge: Keyword Spotting on Microcontrollers."
    " arXiv:1711.07128."
)
PUBLISHED_ACCURACY = {"speech_commands_v1_12": 84.6}  # on a test split of the authors' own
NUM_PARAMETERS = 79_644
MACS = 79_200


@dataclass(frozen=True)
class Config:
    """Sizes of the network, and what keeps it from learning by heart.

    Attributes:
        num_mfcc: Coefficients per frame.
        hidden_size: Outputs of each hidden layer.
        num_hidden: Hidden layers.
        batch_norm: Normalise what enters each ReLU over the batch.
        dropout: Fraction of the outputs of each hidden layer that training leaves out.
        weight_penalty: Factor of the sum of squared weights in the loss.
    """

    num_mfcc: int = field(default=10, metadata={"least": 1, "most": 40})
    hidden_size: int = field(default=144, metadata={"least": 1, "most": 1024})
    num_hidden: int = field(default=3, metadata={"least": 1, "most": 8})
    batch_norm: bool = False
    dropout: float = field(default=0.0, metadata={"least": 0.0, "most": 0.9})
    weight_penalty: float = field(default=0.0, metadata={"least": 0.0, "most": 1.0})


def front_end(config: Config, default: FrontEnd) -> FrontEnd:
    """Returns the MFCC front-end of the source, in units of the manifest's hop."""
    step = 4 * default.hop_samples
    return FrontEnd(
        kind="mfcc",
        window_samples=step,
        hop_samples=step,
        n_fft=step,
        num_mels=40,
        f_min_hz=20.0,
        f_max_hz=4000.0,
        power=1,
        center=False,
        log_floor=1e-12,
        num_mfcc=config.num_mfcc,
    )


def recipe(config: Config) -> Recipe:
    """Returns the published recipe, with the weight penalty of the configuration."""
    return Recipe(
        epochs=135,
        batch_size=100,
        optimiser="adam",
        learning_rate=5e-4,
        weight_decay=2 * config.weight_penalty,  # the derivative of a square
        schedule="steps",
        step_epochs=(1 / 3, 2 / 3),
        step_factor=0.2,
        augmentation=Augmentation(shift_s=0.1, noise_snr_db=(30.0, 70.0), noise_probability=0.8),
    )


def network(config: Config, num_labels: int, num_coefficients: int, num_frames: int) -> nn.Module:
    """Returns the network; features of shape (batch, coefficients, frames) give scores of shape (batch, labels)."""
    layers: list[nn.Module] = [nn.Flatten()]  # (batch, coefficients x frames)
    size = num_coefficients * num_frames
    for _ in range(config.num_hidden):
        layers += _hidden(size, config)
        size = config.hidden_size
    return nn.Sequential(*layers, nn.Linear(size, num_labels))


def _hidden(size: int, config: Config) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Linear(size, config.hidden_size)]
    if config.batch_norm:
        layers.append(nn.BatchNorm1d(config.hidden_size))
    return [*layers, nn.ReLU(), nn.Dropout(config.dropout)]

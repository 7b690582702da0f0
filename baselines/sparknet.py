"""SparkNet: separable convolutions over time that learn which of a few features to switch on, and one linear layer.

What it is: the network of "Sparse Binarization for Fast Keyword Spotting" (Svirsky, Shaham & Lindenbaum, 2024) with 16
channels, the best published one within 10,000 parameters and 1,000,000 multiply-accumulates. Its last features are soft
gates: noise in training pushes each of them towards 0 or 1, and the words are read off the mean of the gates over time.

1. Separable convolution over time (one filter of 11 frames per coefficient, then kernel 1 to 16 channels), batch
   normalisation, ReLU.
2. Three times, with filters of 15, 19 and 29 frames: separable convolution to 16 channels and batch normalisation, plus
   the input through a convolution with kernel 1 and batch normalisation, then ReLU.
3. Convolution with kernel 1 to 32 features, batch normalisation, tanh; in training, Gaussian noise of deviation 0.5 is
   added; + 0.5, clamped to 0 and 1: the gates.
4. Mean over time, linear layer to one score per label.

Input: 32 MFCC of 32 mel bands, windows of 25 ms every 10 ms (two and a half times the manifest's hop, which is 10 ms in
every one that ships), shape (batch, 32, 101) for one second.
Output: one score per label; softmax makes them probabilities.
Recipe: as published, momentum SGD (0.9) with batches of 128, 200 epochs, learning rate 0.01 warmed up, held and decayed
by a square, L2 penalty 1e-3, clips shifted by up to 100 ms and white noise of -90 to -46 dB, each in four clips of
five. The loss is 100 times the cross-entropy plus the mean probability that a gate is open. For SGD that is a learning
rate of 1 and a penalty of 1e-5 on the cross-entropy itself, and so it stands below.

Counts: 4,636 parameters, as published. The published 454.5k multiply-accumulates are what `thop` counts, 454,480, with
4 per element of batch normalisation; convolutions and linear layer take 396,304, and batch normalisation at 1 per
element and the mean add 14,576.

Deviations from the source: the penalty on open gates, which weighs a hundredth of the cross-entropy, is left out; after
a warm-up of 10 epochs the learning rate falls by a cosine, there it is held for 80 epochs and then falls by a square;
the noise is the data set's background noise, not white, from 19 to 63 dB below the clip, which is where white noise of
those levels lies below a clip of the usual -27 dB; 1e-6 is a floor of the energies, there added to them; weights of the
last two layers start as torch starts them, as there, and those of the convolutions before them too, where the source
draws them by Xavier's rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Augmentation, Recipe

SOURCE = (
    "Svirsky, J., Shaham, U. and Lindenbaum, O. (2024). Sparse Binarization for Fast Keyword Spotting. Interspeech."
    " arXiv:2406.06634; https://github.com/jsvir/sparknet."
)
PUBLISHED_ACCURACY = {"speech_commands_v1_12": 95.3, "speech_commands_v2_12": 95.7}
NUM_PARAMETERS = 4_636
MACS = 410_880

_NUM_COEFFICIENTS = 32
_NUM_GATES = 32
_FIRST_KERNEL = 11
_KERNELS = (15, 19, 29)


@dataclass(frozen=True)
class Config:
    """Sizes of the network, and its noise.

    Attributes:
        channels: Channels of the separable convolutions: 4, 8, 16 or 32 in print.
        noise_deviation: Standard deviation of the noise that training adds to what the gates are made from.
    """

    channels: int = field(default=16, metadata={"least": 1, "most": 512})
    noise_deviation: float = field(default=0.5, metadata={"least": 0.0, "most": 4.0})


def front_end(_config: Config, default: FrontEnd) -> FrontEnd:
    """Returns the MFCC front-end of the source, in units of the manifest's hop."""
    window = 5 * default.hop_samples // 2
    return FrontEnd(
        kind="mfcc",
        window_samples=window,
        hop_samples=default.hop_samples,
        n_fft=1 << (window - 1).bit_length(),
        num_mels=_NUM_COEFFICIENTS,
        log_floor=1e-6,
        num_mfcc=_NUM_COEFFICIENTS,
    )


def recipe(_config: Config) -> Recipe:
    """Returns the published recipe, of which the loss is 100 times the cross-entropy."""
    return Recipe(
        epochs=200,
        batch_size=128,
        optimiser="sgd",
        learning_rate=100 * 0.01,
        momentum=0.9,
        weight_decay=1e-3 / 100,
        schedule="cosine",
        warmup_epochs=10,
        augmentation=Augmentation(shift_s=0.1, shift_probability=0.8, noise_snr_db=(19.0, 63.0), noise_probability=0.8),
    )


def network(config: Config, num_labels: int, num_coefficients: int, _num_frames: int) -> nn.Module:
    """Returns the network; features of shape (batch, coefficients, frames) give scores of shape (batch, labels)."""
    return nn.Sequential(
        *_separable(num_coefficients, config.channels, _FIRST_KERNEL),
        nn.ReLU(),
        *(_Residual(config.channels, kernel_size) for kernel_size in _KERNELS),
        nn.Conv1d(config.channels, _NUM_GATES, kernel_size=1),
        nn.BatchNorm1d(_NUM_GATES),
        nn.Tanh(),
        _OpenGates(config.noise_deviation),
        nn.Linear(_NUM_GATES, num_labels),
    )


class _Residual(nn.Module):
    """A separable convolution and the way around it; (batch, channels, frames) stays."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_separable(channels, channels, kernel_size))
        self.shortcut = nn.Sequential(nn.Conv1d(channels, channels, 1, bias=False), nn.BatchNorm1d(channels))

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.body(features) + self.shortcut(features))


class _OpenGates(nn.Module):
    """Turns values from -1 to 1 into gates from 0 to 1, noisy in training, and takes their mean over time."""

    def __init__(self, noise_deviation: float) -> None:
        super().__init__()
        self.noise_deviation = noise_deviation

    def forward(self, values: Tensor) -> Tensor:
        if self.training:
            values = values + self.noise_deviation * torch.randn_like(values)
        return torch.clamp(values + 0.5, 0.0, 1.0).mean(dim=2)  # (batch, gates)


def _separable(num_inputs: int, num_outputs: int, kernel_size: int) -> list[nn.Module]:
    return [
        nn.Conv1d(num_inputs, num_inputs, kernel_size, padding=kernel_size // 2, groups=num_inputs, bias=False),
        nn.Conv1d(num_inputs, num_outputs, kernel_size=1, bias=False),
        nn.BatchNorm1d(num_outputs),
    ]

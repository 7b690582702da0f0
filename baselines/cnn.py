"""A small two-dimensional CNN, as in TensorFlow's tutorial "Simple audio recognition": what many start from.

What it is: the network of the tutorial (The TensorFlow Authors, 2020), in which the spectrogram is a picture. It is
scaled to 32 x 32, two convolutions look for patterns in it, and a wide fully connected layer, which holds nearly all of
the weights, decides.

1. Bilinear resizing to 32 x 32, and a normalisation by one mean and one deviation.
2. Convolution 3 x 3 to 32 channels, ReLU; convolution 3 x 3 to 64 channels, ReLU; both without padding.
3. Max-pooling 2 x 2, dropout 0.25, flatten: 64 x 14 x 14 = 12,544 numbers.
4. Linear layer to 128, ReLU, dropout 0.5, linear layer to one score per label.

Input: 40 log-mels, windows of 30 ms every 10 ms (three times the manifest's hop, which is 10 ms in every one that
ships), shape (batch, 40, 101) for one second.
Output: one score per label; softmax makes them probabilities.
Recipe: as published, Adam with learning rate 1e-3 and batches of 64, stopped when the validation loss has not fallen
for two epochs, 10 epochs at most; nothing is augmented.

Counts: the tutorial's summary says 1,625,608 trainable parameters for its 8 labels, which are this network's 1,625,610
less the scale and shift of its normalisation. Far over any budget of this field; it is here to be beaten.

Deviations from the source: log-mels instead of the magnitudes of a Fourier transform (129 bins, 255 samples every 128);
the normalisation is a batch normalisation of the one channel, learned along with the rest, where the tutorial measures
mean and deviation beforehand; the validation accuracy stops the training, there the loss; weights start as torch starts
them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn import functional

from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Recipe

SOURCE = (
    "The TensorFlow Authors (2020). Simple audio recognition: Recognizing keywords."
    " https://www.tensorflow.org/tutorials/audio/simple_audio."
)
PUBLISHED_ACCURACY: dict[str, float] = {}  # the tutorial names none for these data sets
NUM_PARAMETERS = 1_626_126
MACS = 16_322_176

_KERNEL = 3


@dataclass(frozen=True)
class Config:
    """Sizes of the network.

    Attributes:
        side: Height and width of the picture that the features are scaled to.
        channels: Channels of the first convolution; the second one has twice as many.
        hidden_size: Outputs of the hidden linear layer.
        picture_dropout: Fraction of the values that training leaves out after the pooling.
        hidden_dropout: Fraction of the values that training leaves out after the hidden layer.
    """

    side: int = field(default=32, metadata={"least": 8, "most": 128})
    channels: int = field(default=32, metadata={"least": 1, "most": 128})
    hidden_size: int = field(default=128, metadata={"least": 1, "most": 1024})
    picture_dropout: float = field(default=0.25, metadata={"least": 0.0, "most": 0.9})
    hidden_dropout: float = field(default=0.5, metadata={"least": 0.0, "most": 0.9})


def front_end(_config: Config, default: FrontEnd) -> FrontEnd:
    """Returns a log-mel front-end, in units of the manifest's hop."""
    window = 3 * default.hop_samples
    return FrontEnd(
        kind="log_mel",
        window_samples=window,
        hop_samples=default.hop_samples,
        n_fft=window,
        num_mels=40,
        log_floor=1e-6,
    )


def recipe(_config: Config) -> Recipe:
    """Returns the tutorial's recipe."""
    return Recipe(
        epochs=10, batch_size=64, optimiser="adam", learning_rate=1e-3, schedule="constant", patience_epochs=2
    )


def network(config: Config, num_labels: int, _num_coefficients: int, _num_frames: int) -> nn.Module:
    """Returns the network; features of shape (batch, coefficients, frames) give scores of shape (batch, labels)."""
    side = (config.side - 2 * (_KERNEL - 1)) // 2
    return nn.Sequential(
        _Picture(config.side),  # (batch, 1, side, side)
        nn.BatchNorm2d(1),
        nn.Conv2d(1, config.channels, _KERNEL),
        nn.ReLU(),
        nn.Conv2d(config.channels, 2 * config.channels, _KERNEL),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(config.picture_dropout),
        nn.Flatten(),
        nn.Linear(2 * config.channels * side**2, config.hidden_size),
        nn.ReLU(),
        nn.Dropout(config.hidden_dropout),
        nn.Linear(config.hidden_size, num_labels),
    )


class _Picture(nn.Module):
    """Scales features to a square picture of one channel."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, features: Tensor) -> Tensor:
        picture = features.unsqueeze(1)  # (batch, 1, coefficients, frames)
        return functional.interpolate(picture, size=(self.side, self.side), mode="bilinear", align_corners=False)

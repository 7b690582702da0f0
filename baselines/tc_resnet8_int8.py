"""TC-ResNet8 in 8 bits: trained as it will run, its weights and activations rounded to integers in every step.

What it is: the network of `tc_resnet8` (Choi et al., 2019), trained with the rounding of its integer form
(quantisation-aware training; Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018) by Brevitas (Pappalardo, https://github.com/Xilinx/brevitas). Gradients
pass the rounding as if it were not there (Bengio et al., 2013, arXiv:1308.3432).

1. Batch normalisation of every coefficient, quantised to 8 bits with one scale.
2. The layers of `tc_resnet8`. Weights have no zero point and one scale per output channel; what each ReLU gives is
   unsigned, what the second convolution of a block gives is signed, and each has one scale.
3. Mean over time, quantised to 8 bits, dropout, linear layer without bias to one score per label.

Batch normalisation after a convolution is folded into its weights when the network is exported, and training need not
know: folding multiplies all weights of a channel by one number, and with them the scale of the channel, which is taken
from these weights, so that folded and unfolded weights are rounded to the same integers. So it learns from the clips of
the batch as ever, from random weights and with the recipe of the float network.

Scales: the largest weight of the channel, or, in fewer than 6 bits, the mean of the absolute weights and some standard
deviations of them, which for weights in a normal distribution is close to the smallest error (Max, "Quantizing for
minimum distortion", 1960). Activations: the largest value in the batch, or likewise; a running mean of it afterwards.
The first convolution, the linear layer and what they hear keep 8 bits in every configuration, as is usual (Esser et
al., "Learned step size quantization", ICLR 2020).

Input: 40 MFCC as for `tc_resnet8`, shape (batch, 40, 98) for one second.
Output: one score per label; softmax makes them probabilities.
Recipe: as published for the float network, that of `tc_resnet8`.

Counts: 80 parameters and 3,920 multiply-accumulates for batch normalisation of the input, and one for each value that
is quantised, come to those of `tc_resnet8`; `check-budget` counts 189 ranges, bit widths and zero points besides.
`kwsbench export --to onnx` writes integer weights, a quarter of the bytes, with batch normalisation folded.

Deviations from the source: those of `tc_resnet8`; the integers; batch normalisation of the input, because one scale for
all coefficients as they are would leave most of them a few of the 256 steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from kwsbench.baseline import load_baseline
from kwsbench.extras import import_extra
from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Recipe

_TC_RESNET8: Any = load_baseline("tc_resnet8", Path(__file__).parent)

SOURCE = (
    "Choi, S., Seo, S., Shin, B., Byun, H., Kersner, M., Kim, B., Kim, D. and Ha, S. (2019). Temporal Convolution for"
    " Real-time Keyword Spotting on Mobile Devices. Interspeech. arXiv:1904.03814;"
    " https://github.com/hyperconnect/TC-ResNet."
)
PUBLISHED_ACCURACY: dict[str, float] = {}  # the source has no integers
NUM_PARAMETERS = 65_248
MACS = 1_551_832

_CHANNELS = (16, 24, 32, 48)
_DEVIATIONS = {2: 0.7, 3: 1.4, 4: 2.7, 5: 3.5}  # by bits: standard deviations above the mean that a range ends at


@dataclass(frozen=True)
class Config:
    """Sizes of the network, and widths of its numbers.

    Attributes:
        k: Width multiplier, by which all numbers of channels are multiplied and rounded down.
        dropout: Fraction of the values that training leaves out before the last layer.
        weight_bits: Bits of a weight in the residual blocks.
        activation_bits: Bits of what the layers before and in the residual blocks give.
    """

    k: float = field(default=1.0, metadata={"least": 0.25, "most": 8.0})
    dropout: float = field(default=0.5, metadata={"least": 0.0, "most": 0.9})
    weight_bits: int = field(default=8, metadata={"least": 2, "most": 8})
    activation_bits: int = field(default=8, metadata={"least": 2, "most": 8})


def front_end(config: Config, default: FrontEnd) -> FrontEnd:
    """Returns the front-end of `tc_resnet8`."""
    chosen: FrontEnd = _TC_RESNET8.front_end(config, default)
    return chosen


def recipe(config: Config) -> Recipe:
    """Returns the recipe of `tc_resnet8`."""
    chosen: Recipe = _TC_RESNET8.recipe(config)
    return chosen


def network(config: Config, num_labels: int, num_coefficients: int, _num_frames: int) -> nn.Module:
    """Returns the network; features of shape (batch, coefficients, frames) give scores of shape (batch, labels)."""
    first, *rest = (int(config.k * size) for size in _CHANNELS)
    inner = _Layers(config.weight_bits, config.activation_bits)
    outer = _Layers(8, 8)
    return nn.Sequential(
        nn.BatchNorm1d(num_coefficients),
        outer.signed(),
        *outer.convolution(num_coefficients, first, kernel_size=3),
        inner.relu(),
        *(_Residual(num_inputs, num_outputs, inner) for num_inputs, num_outputs in pairwise((first, *rest))),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        outer.unsigned(),
        nn.Dropout(config.dropout),
        outer.linear(rest[-1], num_labels),
    )


class _Layers:
    """Makes layers whose weights and results have so many bits."""

    def __init__(self, weight_bits: int, activation_bits: int) -> None:
        self._layers = import_extra("brevitas.nn", "quantise", "Brevitas")
        kinds = import_extra("brevitas.quant", "quantise", "Brevitas")
        self._weights = {"weight_quant": kinds.Int8WeightPerChannelFloat.let(**_range(weight_bits))}
        measured = {"scaling_impl_type": "STATS", "scaling_min_val": 1e-6, **_range(activation_bits)}
        self._signed = {"act_quant": kinds.Int8ActPerTensorFloat.let(**measured)}
        self._unsigned = {"act_quant": kinds.Uint8ActPerTensorFloat.let(**measured)}

    def convolution(self, num_inputs: int, num_outputs: int, kernel_size: int, stride: int = 1) -> list[nn.Module]:
        sizes = {"stride": stride, "padding": kernel_size // 2, "bias": False}
        layer = self._layers.QuantConv1d(num_inputs, num_outputs, kernel_size, **sizes, **self._weights)
        return [_steady(layer), nn.BatchNorm1d(num_outputs)]

    def linear(self, num_inputs: int, num_outputs: int) -> Any:
        return _steady(self._layers.QuantLinear(num_inputs, num_outputs, bias=False, **self._weights))

    def relu(self) -> Any:
        return _steady(self._layers.QuantReLU(**self._unsigned))

    def signed(self) -> Any:
        return _steady(self._layers.QuantIdentity(**self._signed))

    def unsigned(self) -> Any:
        return _steady(self._layers.QuantIdentity(**self._unsigned))


def _range(bits: int) -> dict[str, Any]:
    if bits not in _DEVIATIONS:
        return {"bit_width": bits, "scaling_stats_op": "MAX"}
    return {"bit_width": bits, "scaling_stats_op": "MEAN_SIGMA_STD", "sigma": _DEVIATIONS[bits]}


def _steady(layer: Any) -> Any:
    """Has a layer do with stored weights just what it does with those that it learnt itself.

    Left alone, Brevitas makes quantisers anew when weights are loaded, wherever the network is by then, and takes the
    next batch for the first, whose range it does not average.
    """
    for module in layer.modules():
        if hasattr(module, "init_tensor_quant"):
            module.init_tensor_quant = _do_nothing
        if hasattr(module, "running_stats"):
            module.counter = 1
    return layer


def _do_nothing() -> None:
    pass


class _Residual(nn.Module):
    """Two convolutions over time, and the way around them; (batch, inputs, frames) to (batch, outputs, frames)."""

    def __init__(self, num_inputs: int, num_outputs: int, layers: _Layers) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *layers.convolution(num_inputs, num_outputs, kernel_size=9, stride=2),
            layers.relu(),
            *layers.convolution(num_outputs, num_outputs, kernel_size=9),
            layers.signed(),
        )
        self.shortcut = nn.Sequential(
            *layers.convolution(num_inputs, num_outputs, kernel_size=1, stride=2), layers.relu()
        )
        self.relu = layers.relu()

    def forward(self, features: Tensor) -> Tensor:
        given: Tensor = self.relu(self.body(features) + self.shortcut(features))
        return given

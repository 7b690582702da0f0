"""Parameters and MACs of every architecture, added up by hand from its table, against the network that is built.

The arithmetic knows neither torch nor the baseline, only the figures of the paper or of the official code. `Tally`
keeps two sums apart: convolutions and linear layers, which papers count, and what kwsbench counts besides (one MAC per
element of batch normalisation, per value of a mean, per swish, ...).
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from kwsbench.baseline import TorchBaseline, build_network, load_baseline, require_torch
from kwsbench.catalogue import baseline_paths, find_manifest

SECOND = 16_000
LABELS = 12


@dataclasses.dataclass
class Tally:
    """What a network stores and multiplies."""

    params: int = 0
    conv_and_linear: int = 0
    besides: int = 0

    @property
    def macs(self) -> int:
        """All that kwsbench counts."""
        return self.conv_and_linear + self.besides

    def conv(self, positions: int, weights: int, bias: int = 0) -> None:
        """Adds a convolution at so many output positions; a linear layer is one at one position."""
        self.params += weights + bias
        self.conv_and_linear += positions * weights

    def norm(self, positions: int, channels: int, bands: int = 1) -> None:
        """Adds a batch normalisation: a scale and a shift per channel (and band), 1 MAC per element."""
        self.params += 2 * channels * bands
        self.besides += positions * channels


def ffnn() -> Tally:
    """250 inputs, three layers of 144, 12 labels."""
    tally = Tally()
    for inputs, outputs in ((10 * 25, 144), (144, 144), (144, 144), (144, LABELS)):
        tally.conv(1, inputs * outputs, bias=outputs)
    return tally


def cnn(labels: int = LABELS) -> Tally:
    """32 x 32, then 30 x 30 x 32, 28 x 28 x 64, 14 x 14 x 64, 128, labels."""
    tally = Tally(besides=4 * 32 * 32)  # bilinear: four neighbours each
    tally.norm(32 * 32, 1)
    tally.conv(30 * 30, 9 * 32, bias=32)
    tally.conv(28 * 28, 9 * 32 * 64, bias=64)
    tally.conv(1, 14 * 14 * 64 * 128, bias=128)
    tally.conv(1, 128 * labels, bias=labels)
    return tally


def conv1d_sber(labels: int = LABELS) -> Tally:
    """101 frames, then 50, pooled to 25, then 12, pooled to 6, pooled to 1."""
    tally = Tally()
    for frames, inputs in ((50, 64), (12, 32)):
        tally.conv(frames, 3 * inputs // 32 * 32, bias=32)
        tally.conv(frames, 32 * 32, bias=32)
        tally.norm(frames, 32)
    tally.conv(1, 32 * 16, bias=16)
    tally.conv(1, 16 * labels, bias=labels)
    tally.besides += 32 + labels  # mean, log-softmax
    return tally


def ds_cnn_s() -> Tally:
    """49 x 10, then 25 x 5 points throughout."""
    tally, points = Tally(), 25 * 5
    tally.conv(points, 10 * 4 * 64, bias=64)
    tally.norm(points, 64)
    for _ in range(4):
        tally.conv(points, 9 * 64, bias=64)
        tally.norm(points, 64)
        tally.conv(points, 64 * 64, bias=64)
        tally.norm(points, 64)
    tally.conv(1, 64 * LABELS, bias=LABELS)
    tally.besides += 64
    return tally


def tc_resnet(*channels: int) -> Tally:
    """98 frames, then 49, 25 and 13 as the channels grow."""
    tally, frames = Tally(), 98
    tally.conv(frames, 3 * 40 * channels[0])
    tally.norm(frames, channels[0])
    for inputs, outputs in pairwise(channels):
        if outputs != inputs:
            frames = (frames + 1) // 2
            tally.conv(frames, inputs * outputs)
            tally.norm(frames, outputs)
        tally.conv(frames, 9 * inputs * outputs)
        tally.norm(frames, outputs)
        tally.conv(frames, 9 * outputs * outputs)
        tally.norm(frames, outputs)
    tally.conv(1, channels[-1] * LABELS)
    tally.besides += channels[-1]
    return tally


def tc_resnet_int8(*channels: int) -> Tally:
    """`tc_resnet`, batch normalisation of the input, and a division for each value that is quantised."""
    tally, frames = tc_resnet(*channels), 98
    tally.norm(frames, 40)
    tally.besides += frames * (40 + channels[0]) + channels[-1]
    for outputs in channels[1:]:
        frames = (frames + 1) // 2
        tally.besides += 4 * frames * outputs
    return tally


def bc_resnet(base: int, frames: int = 101) -> Tally:
    """40 frequencies, then 20, 10 and 5; widths 2, 1, 1.5, 2, 2.5 and 4 times `base`."""
    tally, heights, channels = Tally(), 20, 2 * base
    tally.conv(heights * frames, 25 * channels)
    tally.norm(heights * frames, channels)
    for blocks, width, stride in ((2, 1.0, 1), (2, 1.5, 2), (4, 2.0, 2), (4, 2.5, 1)):
        outputs = int(width * base)
        for block in range(blocks):
            if block == 0:
                tally.conv(heights * frames, channels * outputs)
                tally.norm(heights * frames, outputs)
                heights //= stride
            tally.conv(heights * frames, 3 * outputs)
            tally.norm(heights * frames, outputs, bands=5)
            tally.besides += frames * outputs  # mean over frequency
            tally.conv(frames, 3 * outputs)
            tally.norm(frames, outputs)
            tally.besides += frames * outputs  # swish
            tally.conv(frames, outputs * outputs)
        channels = outputs
    tally.conv(frames, 25 * channels)
    tally.conv(frames, channels * 4 * base)
    tally.norm(frames, 4 * base)
    tally.besides += 4 * base
    tally.conv(1, 4 * base * LABELS, bias=LABELS)
    return tally


def fold_resnet() -> Tally:
    """101 frames and 40 bands, then 51 and 20; the bands are halved twice more, and the last 5 folded into channels."""
    tally = Tally(besides=40)  # the means that are taken away
    tally.conv(51 * 20, 5 * 5 * 11)
    tally.norm(51 * 20, 11)
    for bands in (10, 5):
        tally.conv(51 * bands, 9 * 11)
        tally.conv(51 * bands, 11 * 11)
        tally.norm(51 * bands, 11)
    tally.conv(51, 5 * 11 * 32)
    tally.norm(51, 32)
    for _ in range(5):
        tally.conv(51, 7 * 32)
        tally.conv(51, 32 * 32)
        tally.norm(51, 32)
    tally.besides += 32
    tally.conv(1, 32 * LABELS, bias=LABELS)
    return tally


def tenet(channels: int, blocks: int) -> Tally:
    """98 frames, then 49, 25 and 13; three times as many channels inside a block."""
    tally, frames, inside = Tally(), 98, 3 * channels
    tally.conv(frames, 3 * 40 * channels)
    tally.norm(frames, channels)
    for _ in range(3):
        for block in range(blocks):
            tally.conv(frames, channels * inside)
            tally.norm(frames, inside)
            if block == 0:
                frames = (frames + 1) // 2
                tally.conv(frames, channels * channels)
                tally.norm(frames, channels)
            tally.conv(frames, 9 * inside)
            tally.norm(frames, inside)
            tally.conv(frames, inside * channels)
            tally.norm(frames, channels)
    tally.conv(1, channels * LABELS)
    tally.besides += channels
    return tally


def sparknet(channels: int) -> Tally:
    """101 frames throughout, 32 coefficients, 32 gates."""
    tally, frames = Tally(), 101
    tally.conv(frames, 11 * 32)
    tally.conv(frames, 32 * channels)
    tally.norm(frames, channels)
    for kernel in (15, 19, 29):
        tally.conv(frames, kernel * channels)
        for _ in ("body", "shortcut"):
            tally.conv(frames, channels * channels)
            tally.norm(frames, channels)
    tally.conv(frames, channels * 32, bias=32)
    tally.norm(frames, 32)
    tally.besides += 32
    tally.conv(1, 32 * LABELS, bias=LABELS)
    return tally


BY_HAND = {
    "ffnn": ffnn(),
    "cnn": cnn(),
    "conv1d_sber": conv1d_sber(),
    "ds_cnn_s": ds_cnn_s(),
    "tc_resnet8": tc_resnet(16, 24, 32, 48),
    "tc_resnet14": tc_resnet(16, 24, 24, 32, 32, 48, 48),
    "tc_resnet8_int8": tc_resnet_int8(16, 24, 32, 48),
    "bc_resnet_1": bc_resnet(8),
    "fold_resnet": fold_resnet(),
    "tenet6_narrow": tenet(16, 2),
    "sparknet": sparknet(16),
}
"""Every architecture with its default configuration."""

VARIANTS = [
    ("tc_resnet8", {"k": 1.5}, tc_resnet(24, 36, 48, 72)),
    ("tc_resnet14", {"k": 1.5}, tc_resnet(24, 36, 36, 48, 48, 72, 72)),
    ("bc_resnet_1", {"tau": 0.625}, bc_resnet(5)),
    ("bc_resnet_1", {"tau": 8.0}, bc_resnet(64)),
    ("tenet6_narrow", {"channels": 32, "blocks_per_stage": 4}, tenet(32, 4)),
    ("sparknet", {"channels": 32}, sparknet(32)),
]
"""What the same sources publish besides."""


def _built(name: str, labels: int = LABELS, **settings: Any) -> tuple[nn.Module, torch.Tensor]:
    """Builds a network for one second at 16 kHz with its own front-end; returns it and an input."""
    baseline = require_torch(load_baseline(name))
    config = dataclasses.replace(baseline.Config(), **settings)
    shape = _input_shape(baseline, config)
    return build_network(baseline, config, labels, *shape).eval(), torch.randn(1, *shape)


def _input_shape(baseline: TorchBaseline, config: Any) -> tuple[int, int]:
    front_end = baseline.front_end(config, find_manifest("speech_commands_v2_12")[0].front_end)
    return front_end.shape(SECOND)


def _conv_and_linear(module: nn.Module, _inputs: Any, output: torch.Tensor) -> int:
    """Counts one call from the shapes of weight and output alone."""
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        return output.numel() * math.prod(module.weight.shape[1:])
    return output.numel() * module.in_features if isinstance(module, nn.Linear) else 0


def _besides(module: nn.Module, _inputs: Any, output: torch.Tensor) -> int:
    """Counts what is no convolution: modules by kind, and inside the blocks what they do between their modules."""
    kind = type(module).__name__
    if kind in ("BatchNorm1d", "BatchNorm2d", "SiLU", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "LogSoftmax"):
        return output.numel()
    if kind in ("QuantIdentity", "QuantReLU"):  # divided by the scale
        return output.numel()
    if kind == "_Picture":  # bilinear
        return 4 * output.numel()
    if kind in ("_Block", "_MeanSubtraction"):  # mean over frequency, over time
        return output.numel() // output.shape[2]
    return output.numel() if kind == "_OpenGates" else 0


@contextmanager
def _counting(network: nn.Module, count: Callable[[Any, Any, Any], int]) -> Iterator[list[int]]:
    counts: list[int] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: counts.append(count(module, inputs, output)))
        for module in network.modules()
    ]
    yield counts
    for hook in hooks:
        hook.remove()


def _executed(network: nn.Module, features: torch.Tensor) -> Tally:
    with torch.no_grad(), _counting(network, _conv_and_linear) as dear, _counting(network, _besides) as besides:
        network(features)
    return Tally(sum(parameter.numel() for parameter in network.parameters()), sum(dear), sum(besides))


def test_every_architecture_is_counted_by_hand() -> None:
    """No baseline in torch is without its own arithmetic."""
    assert set(BY_HAND) == {name for name, path in baseline_paths().items() if "def network(" in path.read_text()}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_stated_counts_are_those_added_up_by_hand(name: str) -> None:
    """NUM_PARAMETERS and MACS of the file are the sums over the table of the source."""
    baseline: Any = load_baseline(name)
    tally = BY_HAND[name]
    assert (tally.params, tally.macs) == (baseline.NUM_PARAMETERS, baseline.MACS)


@pytest.mark.parametrize("name", BY_HAND)
def test_the_network_is_the_one_counted_by_hand(name: str) -> None:
    """What is built stores and multiplies just that, layer kind by layer kind."""
    assert _executed(*_built(name)) == BY_HAND[name]


@pytest.mark.parametrize(("name", "settings", "by_hand"), VARIANTS, ids=lambda value: str(value)[:40])
def test_the_other_published_widths_are_the_ones_counted_by_hand(
    name: str, settings: dict[str, Any], by_hand: Tally
) -> None:
    """The configuration reaches the other networks of the source."""
    assert _executed(*_built(name, **settings)) == by_hand


def test_the_course_baseline_has_the_figures_of_the_course() -> None:
    """With its 5 labels: 3,205 parameters, and 74,832 MACs in convolutions and linear layers."""
    network, features = _built("conv1d_sber", labels=5)
    assert features.shape == (1, 64, 101)
    assert _executed(network, features) == conv1d_sber(labels=5)
    assert (conv1d_sber(labels=5).params, conv1d_sber(labels=5).conv_and_linear) == (3_205, 74_832)


@pytest.mark.parametrize(
    ("tally", "params", "millions"),
    [
        (ds_cnn_s(), 23_756, 2.66),
        (tc_resnet(16, 24, 32, 48), None, 1.52),
        (tc_resnet(24, 36, 36, 48, 48, 72, 72), None, 6.7),
        (bc_resnet(8, frames=98), 9_232, 2.41),
        (bc_resnet(5), 4_585, None),
        (bc_resnet(64), 321_068, None),
        (tenet(16, 2), 16_160, 0.62),
        (sparknet(16), 4_636, None),
    ],
    ids=lambda value: str(value) if isinstance(value, int | float) else "",
)
def test_convolutions_and_linear_layers_are_what_papers_count(
    tally: Tally, params: int | None, millions: float | None
) -> None:
    """Where a source gives a figure, the arithmetic by hand rounds to it."""
    digits = 2 if millions is not None and round(millions, 1) != millions else 1
    assert params in (None, tally.params)
    assert millions is None or round(tally.conv_and_linear / 1e6, digits) == millions


@pytest.mark.parametrize(("name", "k", "thousands"), [("tc_resnet8", 1.0, 66), ("tc_resnet14", 1.5, 305)])
def test_tc_resnet_was_published_with_its_running_statistics(name: str, k: float, thousands: int) -> None:
    """66k and 305k parameters are those trained, and the running means and variances besides."""
    network, _ = _built(name, k=k)
    running = sum(buffer.numel() for buffer in network.buffers() if buffer.ndim)
    trained = sum(parameter.numel() for parameter in network.parameters())
    assert round((trained + running) / 1_000) == thousands != round(trained / 1_000)


def test_tenet_was_published_with_the_stride_taken_first() -> None:
    """The 2.9M of TENet12 count the widening convolution of a strided block on the frames after the stride."""
    spared = sum((before - after) * 32 * 96 for before, after in ((98, 49), (49, 25), (25, 13)))
    assert round((tenet(32, 4).conv_and_linear - spared) / 1e6, 1) == 2.9


@pytest.mark.parametrize(("name", "labels", "expected"), [("conv1d_sber", 5, 82_992), ("sparknet", 12, 454_480)])
def test_thop_gives_the_published_count(name: str, labels: int, expected: int) -> None:
    """Where the published figure is that of thop, thop gives it for this network too."""
    network, features = _built(name, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # thop imports distutils
        from thop import profile

        macs, _ = profile(network, (features,), verbose=False)
    assert macs == expected

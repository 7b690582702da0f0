"""The receptive field through interpolation: the oracle changes one input frame after the other and sees what follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from kwsbench.budget.audit import audit_network
from kwsbench.budget.reach import MOST_FRAMES, Reach
from tests.budget import networks as nets

BANDS = 2


def resized(size: int | tuple[int, int], mode: str, **options: Any) -> Callable[[Tensor], Tensor]:
    """Interpolation to a size."""
    return lambda x: functional.interpolate(x, size=size, mode=mode, **options)


def image(x: Tensor) -> Tensor:
    """Features as a picture of one channel."""
    return x.unsqueeze(1)


def positive(kind: type[nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d], kernel: Any, **options: Any) -> nn.Module:
    """A convolution of positive weights, so that nothing that it sees cancels out."""
    channels = 1 if kind is nn.Conv2d else BANDS
    layer = kind(channels, channels, kernel, bias=False, **options)
    nn.init.uniform_(layer.weight, 0.5, 1.0)
    return layer


class Chain(nn.Module):
    """Functions and modules one after the other."""

    def __init__(self, *steps: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        """Runs all of them."""
        for step in self.steps:
            x = step(x)
        return x


def frames_seen(network: nn.Module, frames: int) -> int:
    """The widest stretch of input frames between those that change one and the same output value."""
    network, clip = network.double(), torch.rand(1, BANDS, frames, dtype=torch.float64)
    changed = []
    with torch.no_grad():
        before = network(clip)
        for frame in range(frames):
            other = clip.clone()
            other[..., frame] += 1
            changed.append((network(other) - before).abs().flatten() > 1e-9)
    sees = torch.stack(changed).numpy()
    return max(_stretch(column) for column in sees.T if column.any())


def _stretch(column: NDArray[np.bool_]) -> int:
    places = np.flatnonzero(column)
    return int(places[-1] - places[0] + 1)


NETWORKS: dict[str, tuple[int, tuple[Callable[[Tensor], Tensor], ...]]] = {
    "nearest, fewer": (50, (resized(20, "nearest"), positive(nn.Conv1d, 3))),
    "nearest exact, fewer": (50, (resized(17, "nearest-exact"), positive(nn.Conv1d, 3))),
    "nearest, more": (20, (resized(50, "nearest"), positive(nn.Conv1d, 5))),
    "linear, fewer": (50, (resized(16, "linear"), positive(nn.Conv1d, 3))),
    "linear, more": (20, (resized(70, "linear"), positive(nn.Conv1d, 3))),
    "linear, corners": (50, (resized(10, "linear", align_corners=True), positive(nn.Conv1d, 3))),
    "bilinear": (50, (image, resized((3, 23), "bilinear"), positive(nn.Conv2d, (1, 3)))),
    "bicubic": (50, (image, resized((2, 23), "bicubic"), positive(nn.Conv2d, (1, 4)))),
    "bands only": (20, (image, resized((5, 20), "bilinear"), positive(nn.Conv2d, (3, 3)))),
    "between convolutions": (
        60,
        (positive(nn.Conv1d, 3, stride=2), resized(21, "linear"), positive(nn.Conv1d, 3, dilation=2)),
    ),
    "twice": (60, (resized(25, "nearest"), resized(40, "linear"), positive(nn.Conv1d, 3), nn.MaxPool1d(2))),
    "transposed": (
        40,
        (positive(nn.Conv1d, 3, stride=3), positive(nn.ConvTranspose1d, 4, stride=2), positive(nn.Conv1d, 4)),
    ),
    "behind a window": (40, (positive(nn.Conv1d, 5), resized(13, "linear"), nn.MaxPool1d(2))),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_as_many_frames_are_reported_as_change_a_value(name: str) -> None:
    """Behind interpolation, windows and transposed convolutions the widest value sees what the slow oracle finds."""
    torch.manual_seed(0)
    frames, steps = NETWORKS[name]
    network = Chain(*steps).eval()
    said = audit_network(network, nets.probes((1, BANDS, frames))).receptive_field_frames
    assert said == frames_seen(network, frames)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["window", "nearest", "linear"]), st.integers(1, 4), st.integers(1, 3))))
def test_no_value_sees_more_than_is_reported(layers: list[tuple[str, int, int]]) -> None:
    """Through any chain of windows and interpolation the frames that change a value are never more than reported."""
    torch.manual_seed(0)
    x, reach, steps = torch.zeros(1, BANDS, 60), Reach(), list[Callable[[Tensor], Tensor]]()
    for kind, size, stride in layers:
        before = x.shape[-1]
        if before < size or before < stride:
            continue
        if kind == "window":
            steps.append(positive(nn.Conv1d, size, stride=stride))
            reach = reach.behind_window(size - 1, stride)
        else:
            after = before * size // stride
            steps.append(resized(after, kind))
            reach = reach.behind_resizing(kind, before, after)
        x = steps[-1](x)
        if x.shape[-1] > 200:
            return
    assert frames_seen(Chain(*steps), 60) <= reach.frames


def test_interpolation_is_no_window_itself() -> None:
    """The last convolution counts, not what is interpolated behind it; and without any window there is no number."""
    probes = nets.probes((1, BANDS, 40))
    last = Chain(positive(nn.Conv1d, 3), resized(10, "linear"))
    assert audit_network(last, probes).receptive_field_frames == 3
    assert audit_network(Chain(resized(10, "linear")), probes).receptive_field_frames is None


def test_endless_chains_are_counted_in_no_time() -> None:
    """Many thousand layers of fractional strides are rounded up to a few, and to a number that can be printed."""
    reach = Reach()
    for _ in range(5_000):
        reach = reach.behind_resizing("linear", 3, 2).behind_transposed(2, 7).behind_window(1, 20)
    assert reach.frames == MOST_FRAMES
    assert len(reach.stages) < 100

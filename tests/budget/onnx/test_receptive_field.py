"""The receptive field of ONNX graphs: by hand, and with the torch audit of the same network as oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from kwsbench.budget.audit import audit_network
from tests.budget.onnx.models import audit_of, exported, graph_of


class Residual(nn.Module):
    """Two branches of different reach that are added."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv1d(4, 4, 5, padding=2)
        self.narrow = nn.Conv1d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        return self.narrow(x) + self.wide(x)


NETWORKS = {
    "strides and dilations": nn.Sequential(nn.Conv1d(4, 4, 3, stride=2), nn.Conv1d(4, 4, 3, dilation=2)),
    "pooling at the end": nn.Sequential(nn.Conv1d(4, 4, 3), nn.MaxPool1d(2), nn.Conv1d(4, 4, 5), nn.AvgPool1d(3)),
    "overlapping pooling": nn.Sequential(nn.MaxPool1d(3, stride=1), nn.AvgPool1d(4, stride=2), nn.Conv1d(4, 4, 3)),
    "more than there is": nn.Sequential(nn.Conv1d(4, 4, 3, 4, padding=1), nn.Conv1d(4, 4, 9, padding=4, stride=2)),
    "branches": nn.Sequential(Residual(), Residual(), nn.MaxPool1d(2), Residual()),
    "transposed": nn.Sequential(
        nn.Conv1d(4, 4, 3, stride=2), nn.ConvTranspose1d(4, 4, 5, stride=2), nn.Conv1d(4, 4, 3)
    ),
    "a mean over all frames": nn.Sequential(nn.Conv1d(4, 4, 3), nn.AdaptiveAvgPool1d(1), nn.Conv1d(4, 4, 1)),
    "a pool over all frames": nn.Sequential(nn.Conv1d(4, 4, 3), nn.AvgPool1d(28), nn.Conv1d(4, 4, 1)),
    "a pool over all frames last": nn.Sequential(nn.Conv1d(4, 4, 3), nn.MaxPool1d(28), nn.Flatten(), nn.Linear(4, 2)),
    "products over time": nn.Sequential(nn.Linear(30, 20), nn.Conv1d(4, 4, 3), nn.Linear(18, 10), nn.MaxPool1d(2)),
    "interpolated, linear": nn.Sequential(nn.Conv1d(4, 4, 3, 2), nn.Upsample(23, mode="linear"), nn.Conv1d(4, 4, 4)),
    "interpolated, nearest": nn.Sequential(nn.Upsample(19), nn.Conv1d(4, 4, 3), nn.Upsample(scale_factor=3)),
    "interpolated, corners": nn.Sequential(
        nn.Upsample(11, mode="linear", align_corners=True), nn.Conv1d(4, 4, 3, 2, padding=1)
    ),
    "interpolated, picture": nn.Sequential(
        nn.Unflatten(1, (1, 4)), nn.Upsample((4, 17), mode="bilinear"), nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)
    ),
    "interpolated, cubic": nn.Sequential(
        nn.Unflatten(1, (1, 4)), nn.Upsample((9, 13), mode="bicubic"), nn.Conv2d(1, 1, 3)
    ),
    "interpolated, bands only": nn.Sequential(
        nn.Unflatten(1, (1, 4)), nn.Upsample((9, 30), mode="bicubic"), nn.Conv2d(1, 1, 3)
    ),
    "no window": nn.Sequential(nn.Flatten(), nn.Linear(120, 3)),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_an_export_sees_as_far_as_the_torch_audit_says(network: nn.Module) -> None:
    """Convolutions and local pooling reach on, whatever sums up all frames does not: in both formats alike."""
    clip = np.random.default_rng(0).normal(size=(1, 4, 30)).astype(np.float32)
    expected = audit_network(network.eval(), {"noise": clip}).receptive_field_frames
    assert audit_of(exported(network, torch.from_numpy(clip))).receptive_field_frames == expected


def test_a_receptive_field_grows_with_kernels_strides_and_dilations() -> None:
    """Kernel 3, then pooling 2 by 2, then kernel 3 dilated by 2 behind a step of 2: 3 + 1 x 1 + 2 x 2 x 2 positions."""
    stored = "float[1, 4, 3] w = {1,1,1,1,1,1,1,1,1,1,1,1}, float[1, 1, 3] v = {1, 1, 1}"
    body = "a = Conv(x, w) b = MaxPool<kernel_shape = [2], strides = [2]>(a) y = Conv<dilations = [2]>(b, v)"
    audit = audit_of(graph_of(body, f"float[1, 4, 40] x | {stored}"))
    assert audit.receptive_field_frames == 3 + 1 + 2 * 2 * 2


def test_a_pooling_behind_the_last_convolution_counts() -> None:
    """Kernel 3, then pooling 2 by 2: the two values that are pooled see four positions."""
    body = "a = Conv(x, w) y = MaxPool<kernel_shape = [2], strides = [2]>(a)"
    audit = audit_of(graph_of(body, "float[1, 4, 40] x | float[1, 4, 3] w = {1,1,1,1,1,1,1,1,1,1,1,1}"))
    assert audit.receptive_field_frames == 3 + 1


def test_the_pooling_of_integers_reaches_as_far_as_that_of_floats() -> None:
    """A pooling of com.microsoft is a window like any other."""
    body = "y = com.microsoft.QLinearAveragePool<kernel_shape = [3, 3]>(x, s, z, s, z)"
    data = graph_of(body, "uint8[1, 2, 6, 6] x | float s = {1}, uint8 z = {0}")
    assert audit_of(data).receptive_field_frames == 3


@pytest.mark.parametrize(
    ("attributes", "frames"),
    [
        ('mode = "nearest"', 1 + 2 * 3),
        ('mode = "linear"', 2 + 2 * 3),
        ('mode = "cubic"', 4 + 2 * 3),
        ('mode = "linear", coordinate_transformation_mode = "align_corners"', 2 + 7),  # 2 x 29 / 9 is more than 6
    ],
)
def test_a_resize_mixes_neighbours_and_stretches_what_follows(attributes: str, frames: int) -> None:
    """From 30 frames to 10, a kernel of 3 reaches over 6 frames, and the mode adds the neighbours that it mixes."""
    body = f"a = Resize<{attributes}>(x, , , n) y = Conv(a, w)"
    stored = "int64[3] n = {1, 4, 10}, float[1, 4, 3] w = {1,1,1,1,1,1,1,1,1,1,1,1}"
    assert audit_of(graph_of(body, f"float[1, 4, 30] x | {stored}"), run=False).receptive_field_frames == frames


def test_without_a_window_there_is_no_receptive_field() -> None:
    """Where nothing slides over time, there is no number to give."""
    assert audit_of(graph_of("y = Relu(x)")).receptive_field_frames is None

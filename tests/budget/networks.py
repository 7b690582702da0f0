"""Small networks that the audit is tested on: input `(1, 4, 16)`, made so that their costs can be derived by hand."""

# ruff: noqa: D102 - what forward does is said by the docstring of its network

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS, FRAMES = 4, 16
SHAPE = (1, CHANNELS, FRAMES)


def probes(shape: tuple[int, ...] = SHAPE) -> dict[str, np.ndarray]:
    """Returns zeros, noise, the same upside down, and loud noise."""
    noise = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    return {"zeros": np.zeros(shape, np.float32), "noise": noise, "upside down": -noise, "loud": 100 * noise}


def as_script(network: nn.Module) -> Any:
    """Returns the network as TorchScript, by compiling its source."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(network.eval())


def as_trace(network: nn.Module, shape: tuple[int, ...] = SHAPE) -> Any:
    """Returns the network as TorchScript, by tracing it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(network.eval(), torch.zeros(shape), check_trace=False)


def as_frozen(network: nn.Module) -> Any:
    """Returns the network as TorchScript whose weights are constants."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(torch.jit.script(network.eval()))


def as_exported(network: nn.Module, shape: tuple[int, ...] = SHAPE) -> Any:
    """Returns the module of the exported program."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(network.eval(), (torch.zeros(shape),)).module()


class Function(nn.Module):
    """A network that is one function of its input, for weights in closures."""

    def __init__(self, function: Callable[[Tensor], Tensor], **attributes: Any) -> None:
        super().__init__()
        self.function = function
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class FunctionalConvolution(nn.Module):
    """A convolution whose weights are parameters of the network itself."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, CHANNELS, 3))
        self.bias = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(functional.conv1d(x, self.weight, self.bias))


class FunctionalLinear(nn.Module):
    """A linear layer over channels, written as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.transpose(1, 2), self.weight)


class MatrixProduct(FunctionalLinear):
    """The same with the operator `@`."""

    def forward(self, x: Tensor) -> Tensor:
        return self.weight @ x


class Einsum(FunctionalLinear):
    """The same with einsum."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("oc,bct->bot", self.weight, x)


class MultiplyAndSum(FunctionalLinear):
    """The same written out: multiply, then sum."""

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight[:, :, None] * x).sum(1)


class Attention(nn.Module):
    """Multi-head attention of the input on itself."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(CHANNELS, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(1, 2)
        return self.attention(y, y, y)[0]


class Transformer(nn.Module):
    """A transformer layer, which has a fast path in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(CHANNELS, 2, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.transpose(1, 2))


class Recurrent(nn.Module):
    """A recurrent layer; `cell` is `nn.GRU` or `nn.LSTM`."""

    def __init__(self, cell: type[nn.GRU | nn.LSTM]) -> None:
        super().__init__()
        self.cell = cell(CHANNELS, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x.transpose(1, 2))[0]


class CellInLoop(nn.Module):
    """A GRU cell in a loop over time."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(CHANNELS, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(x.shape[0], 3)
        for frame in range(x.shape[2]):
            state = self.cell(x[:, :, frame], state)
        return state


class Transposed(nn.Module):
    """A transposed and a grouped convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose1d(CHANNELS, 6, 3, stride=2)
        self.grouped = nn.Conv1d(6, 6, 3, groups=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.grouped(self.up(x))


class Spectrogram(nn.Module):
    """STFT, power and mel bands of a waveform `(1, 160)`, all inside the network."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mel", torch.rand(5, 17))

    def forward(self, x: Tensor) -> Tensor:
        window = torch.hann_window(32)
        spectrum = torch.stft(x, 32, 16, window=window, center=False, return_complex=True)
        power = torch.view_as_real(spectrum).square().sum(-1)
        return torch.log(self.mel @ power + 1e-6)


class Shared(nn.Module):
    """One module that is called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shared(self.shared(self.shared(x)))


class FourierConvolution(nn.Module):
    """A circular depthwise convolution by FFT, its complex weights stored as such."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CHANNELS, FRAMES // 2 + 1, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(x) * self.weight, n=16)


class Normalised(nn.Module):
    """Convolution, batch norm, pooling and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(CHANNELS, 6, 3, dilation=2)
        self.norm = nn.BatchNorm1d(6)
        self.pool = nn.MaxPool1d(2)
        self.last = nn.Conv1d(6, 6, 3)
        self.out = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.last(self.pool(functional.relu(self.norm(self.conv(x)))))
        return functional.log_softmax(self.out(y.mean(2)), dim=-1)


class ScaleFree(nn.Module):
    """A batch norm without scale and shift, so that its running statistics are both."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(CHANNELS, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class Int4(nn.Module):
    """A linear layer whose 4-bit weights are packed two to a byte: 10 bytes hold 20 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("packed", torch.randint(0, 255, (5, CHANNELS // 2), dtype=torch.uint8))
        self.register_buffer("scale", torch.rand(5, 1))

    def forward(self, x: Tensor) -> Tensor:
        halves = torch.stack([self.packed & 15, self.packed >> 4], dim=-1)
        weight = (halves.flatten(1).float() - 8) * self.scale
        return weight @ x


class Int8(nn.Module):
    """A linear layer whose weights are stored in 8 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randint(-128, 127, (5, CHANNELS), dtype=torch.int8))
        self.register_buffer("scale", torch.rand(1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight.float() * self.scale) @ x


class Table(nn.Module):
    """Answers by comparing with stored clips."""

    def __init__(self) -> None:
        super().__init__()
        self.clips = torch.randn(7, CHANNELS, FRAMES)

    def forward(self, x: Tensor) -> Tensor:
        return (x == self.clips).all(2).all(1)


class Embedding(nn.Module):
    """Looks its first values up in a table of 20 rows."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x[:, 0].clamp(0, 19).long())

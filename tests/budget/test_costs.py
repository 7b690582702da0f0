"""The counts, against numbers that count how often they are multiplied while the plain algorithm runs on them."""

from __future__ import annotations

import cmath
import doctest
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kwsbench.budget import costs

Array = NDArray[Any]


@dataclass
class Counted:
    """A number that counts multiplications, divisions and exponentials; additions are free."""

    value: float
    total: ClassVar[int] = 0

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.value + other.value)

    def __sub__(self, other: Counted) -> Counted:
        return Counted(self.value - other.value)

    def __mul__(self, other: Counted) -> Counted:
        return self._once(self.value * other.value)

    def __truediv__(self, other: Counted) -> Counted:
        return self._once(self.value / other.value)

    def exp(self) -> Counted:
        """What `np.exp` calls."""
        return self._once(math.exp(self.value))

    def sqrt(self) -> Counted:
        """What `np.sqrt` calls."""
        return self._once(math.sqrt(self.value))

    def tanh(self) -> Counted:
        """What `np.tanh` calls; free, as the sigmoid is, which is a shifted and halved tanh."""
        return Counted(math.tanh(self.value))

    def _once(self, value: float) -> Counted:
        Counted.total += 1
        return Counted(value)


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    Counted.total = 0


def counted(*shape: int) -> Array:
    """Returns an array of counted numbers, different from each other."""
    values = np.sin(np.arange(1, math.prod(shape) + 1))
    return np.array([Counted(float(value)) for value in values] + [None], dtype=object)[:-1].reshape(shape)


def multiplications() -> int:
    """Returns how many there were since it was asked last."""
    total, Counted.total = Counted.total, 0
    return total


def zeros(*shape: int) -> Array:
    """Returns an array of counted zeros."""
    array = np.empty(shape, dtype=object)
    for place in np.ndindex(*shape):
        array[place] = Counted(0.0)
    return array


def plain_convolution(padded: Array, weight: Array, stride: int, dilation: int, groups: int) -> Array:
    """Convolves (channels, time) with (outputs, channels per group, kernel), one product at a time."""
    outputs, channels, kernel = weight.shape
    length = (padded.shape[1] - dilation * (kernel - 1) - 1) // stride + 1
    result = zeros(outputs, length)
    for output, time, channel, tap in np.ndindex(outputs, length, channels, kernel):
        source = output // (outputs // groups) * channels + channel
        product = weight[output, channel, tap] * padded[source, time * stride + tap * dilation]
        result[output, time] += product
    return result


PROPERTY = settings(deadline=None, derandomize=True, max_examples=30, database=None)
sizes = st.integers(1, 3)


@PROPERTY
@given(channels=st.tuples(sizes, sizes, sizes), taps=st.tuples(sizes, sizes, sizes), padding=st.integers(0, 2))
def test_a_convolution_multiplies_what_the_plain_algorithm_multiplies(
    channels: tuple[int, int, int], taps: tuple[int, int, int], padding: int
) -> None:
    """Whatever the stride, padding, dilation and groups, depthwise included, every product counts once."""
    groups, inputs, outputs = channels
    kernel, stride, dilation = taps
    sides = zeros(groups * inputs, padding)
    padded = np.concatenate([sides, counted(groups * inputs, 8), sides], axis=1)
    result = plain_convolution(padded, counted(groups * outputs, inputs, kernel), stride, dilation, groups)
    assert costs.convolution(result.size, inputs, kernel) == multiplications()


@PROPERTY
@given(groups=sizes, channels=sizes, outputs=sizes, kernel=sizes, stride=sizes)
def test_a_transposed_convolution_multiplies_what_the_plain_algorithm_multiplies(
    groups: int, channels: int, outputs: int, kernel: int, stride: int
) -> None:
    """Every input value is multiplied with every tap of every output channel of its group."""
    signal, weight = counted(groups * channels, 4), counted(groups * channels, outputs, kernel)
    result = zeros(groups * outputs, 3 * stride + kernel)
    for channel, time, output, tap in np.ndindex(groups * channels, 4, outputs, kernel):
        place = channel // channels * outputs + output, time * stride + tap
        result[place] += signal[channel, time] * weight[channel, output, tap]
    assert costs.transposed_convolution(signal.size, outputs, kernel) == multiplications()


@PROPERTY
@given(batch=sizes, rows=sizes, inner=sizes, columns=sizes)
def test_a_matrix_product_multiplies_what_the_plain_algorithm_multiplies(
    batch: int, rows: int, inner: int, columns: int
) -> None:
    """Row by column, for every matrix of the batch."""
    np.matmul(counted(batch, rows, inner), counted(batch, inner, columns))
    assert costs.matrix_product(batch, rows, inner, columns) == multiplications()


def softmax(scores: Array) -> Array:
    """Returns exp, divided by its sum, along the last axis."""
    powers: Array = np.exp(scores)
    sums: Array = powers.sum(axis=-1, keepdims=True)
    return powers / sums


def test_a_softmax_multiplies_what_the_plain_algorithm_multiplies() -> None:
    """An exponential and a division for every element."""
    scores = counted(2, 5)
    softmax(scores)
    assert costs.softmax(scores.size) == multiplications()


def test_a_log_softmax_multiplies_what_the_plain_algorithm_multiplies() -> None:
    """An exponential for every element; the logarithm of each sum is not counted, as the sum is not."""
    scores = counted(2, 5)
    np.exp(scores).sum(axis=-1, keepdims=True)
    assert costs.log_softmax(scores.size) == multiplications()


@PROPERTY
@given(heads=sizes, queries=sizes, keys=sizes, width=sizes, value_width=sizes)
def test_attention_multiplies_what_the_plain_algorithm_multiplies(
    heads: int, queries: int, keys: int, width: int, value_width: int
) -> None:
    """Products with the keys, their scale, a softmax, and weighted sums of the values."""
    scores = np.matmul(counted(heads, queries, width), counted(heads, width, keys)) * Counted(width**-0.5)
    np.matmul(softmax(scores), counted(heads, keys, value_width))
    assert costs.attention(heads, queries, keys, width, value_width) == multiplications()


@PROPERTY
@given(inputs=sizes, hidden=sizes, steps=sizes, projected=st.integers(0, 2))
def test_an_lstm_multiplies_what_its_equations_multiply(inputs: int, hidden: int, steps: int, projected: int) -> None:
    """With and without a projection, whose width is what is fed back."""
    width = projected or hidden
    state, cell = zeros(width), zeros(hidden)
    of_input, of_state, projection = counted(4 * hidden, inputs), counted(4 * hidden, width), counted(width, hidden)
    for _ in range(steps):
        gates = of_input @ counted(inputs) + of_state @ state
        forget, new, enter, leave = np.split(np.tanh(gates), 4)
        cell = forget * cell + enter * new
        output = leave * np.tanh(cell)
        state = projection @ output if projected else output
    assert costs.lstm_layer(inputs, hidden, steps, projected) == multiplications()


@PROPERTY
@given(inputs=sizes, hidden=sizes, steps=sizes)
def test_a_gru_multiplies_what_its_equations_multiply(inputs: int, hidden: int, steps: int) -> None:
    """Three gates, the reset gate on one of them, and one step from the new state towards the old one."""
    state, of_input, of_state = zeros(hidden), counted(3 * hidden, inputs), counted(3 * hidden, hidden)
    for _ in range(steps):
        from_input, from_state = np.split(of_input @ counted(inputs), 3), np.split(of_state @ state, 3)
        reset, update = (np.tanh(from_input[gate] + from_state[gate]) for gate in (0, 1))
        new = np.tanh(from_input[2] + reset * from_state[2])
        state = update * (state - new) + new
    assert costs.gru_layer(inputs, hidden, steps) == multiplications()


@PROPERTY
@given(inputs=sizes, hidden=sizes, steps=sizes)
def test_a_plain_rnn_multiplies_what_its_equation_multiplies(inputs: int, hidden: int, steps: int) -> None:
    """Two matrices per step and nothing else."""
    state, of_input, of_state = zeros(hidden), counted(hidden, inputs), counted(hidden, hidden)
    for _ in range(steps):
        state = np.tanh(of_input @ counted(inputs) + of_state @ state)
    assert costs.rnn_layer(inputs, hidden, steps) == multiplications()


def rotated(number: tuple[Counted, Counted], factor: complex) -> tuple[Counted, Counted]:
    """Multiplies a complex number, given by its parts, with four real multiplications."""
    (real, imaginary), c, s = number, Counted(factor.real), Counted(factor.imag)
    return real * c - imaginary * s, real * s + imaginary * c


def radix_2(signal: list[tuple[Counted, Counted]]) -> list[tuple[Counted, Counted]]:
    """Transforms 2^k complex points by the method of Cooley and Tukey: one rotation per butterfly."""
    if len(signal) == 1:
        return signal
    half = len(signal) // 2
    even, odd = radix_2(signal[::2]), radix_2(signal[1::2])
    odd = [rotated(value, cmath.exp(-1j * cmath.pi * place / half)) for place, value in enumerate(odd)]
    pairs = list(zip(even, odd, strict=True))
    return [(a[0] + b[0], a[1] + b[1]) for a, b in pairs] + [(a[0] - b[0], a[1] - b[1]) for a, b in pairs]


@pytest.mark.parametrize("points", [1, 2, 4, 16, 64])
def test_a_fourier_transform_multiplies_what_its_butterflies_multiply(points: int) -> None:
    """The oracle is a transform that gives NumPy's spectrum."""
    parts = counted(points, 2)
    spectrum = radix_2([(real, imaginary) for real, imaginary in parts])
    expected = np.fft.fft([complex(real.value, imaginary.value) for real, imaginary in parts])
    assert [complex(real.value, imaginary.value) for real, imaginary in spectrum] == pytest.approx(list(expected))
    assert costs.fourier_transform(points, transforms=1, real=False) == multiplications()


@PROPERTY
@given(points=st.integers(1, 600), transforms=st.integers(0, 5))
def test_two_real_transforms_cost_one_complex_transform(points: int, transforms: int) -> None:
    """They can be the real and the imaginary part of one."""
    of_reals = costs.fourier_transform(points, 2 * transforms, real=True)
    assert of_reals == costs.fourier_transform(points, transforms, real=False)


@PROPERTY
@given(points=st.integers(2, 600))
def test_a_fourier_transform_of_any_length_counts_the_levels_of_the_next_power_of_two(points: int) -> None:
    """ceil(log2 n), exactly, and without logarithms in floats."""
    levels = costs.fourier_transform(points, transforms=1, real=True) // points
    assert 2 ** (levels - 1) < points <= 2**levels


@pytest.mark.parametrize("scaled", [False, True])
def test_a_norm_multiplies_what_the_plain_algorithm_multiplies_per_element(scaled: bool) -> None:  # noqa: FBT001
    """A square and a division for every element, and its scale; mean, variance and root of a row are not counted."""
    row, width = counted(7), Counted(7.0)
    centred = row - np.array([row.sum() / width], dtype=object)
    deviation = np.sqrt(np.array([(centred * centred).sum() / width], dtype=object))
    normal = centred / deviation
    if scaled:
        normal * counted(7)
    per_row = 3
    assert costs.normalisation(row.size, scaled=scaled) == multiplications() - per_row


def test_a_sum_of_squares_multiplies_what_a_norm_multiplies() -> None:
    """A square for every element and a root for every row."""
    rows = counted(3, 5)
    np.sqrt((rows * rows).sum(axis=1))
    assert costs.sum_of_squares(rows.size, 3) == multiplications()


def test_a_mean_multiplies_once_per_result() -> None:
    """However many values are summed."""
    counted(3, 5).sum(axis=1) / np.array([Counted(5.0)], dtype=object)
    assert costs.mean(3) == multiplications()


@pytest.mark.parametrize(("mode", "neighbours"), [("nearest", 0), ("linear", 2), ("bilinear", 4), ("trilinear", 8)])
def test_interpolation_weighs_its_neighbours(mode: str, neighbours: int) -> None:
    """One multiplication per neighbour, and none where the nearest is copied."""
    for _ in range(10):
        counted(neighbours) @ counted(neighbours) if neighbours else None
    assert costs.interpolation(10, mode) == multiplications()


def test_a_batch_norm_with_known_statistics_is_one_scale_and_one_shift() -> None:
    """Mean and variance fold into them before the first clip."""
    signal = counted(4, 5)
    signal * counted(4, 1) + counted(4, 1)
    assert costs.batch_normalisation(signal.size) == multiplications()


@pytest.mark.parametrize(("factor", "macs"), [(0, 0), (1, 0), (1.0, 0), (True, 0), (-1, 5), (0.5, 5), (1j, 5)])
def test_a_factor_costs_unless_it_is_nothing_or_one(factor: complex, macs: int) -> None:
    """As `alpha` and `beta` of a matrix product."""
    assert costs.scaling(factor, 5) == macs


def test_the_examples_in_the_docstrings_are_right() -> None:
    """Every function has an example, computed by hand."""
    outcome = doctest.testmod(costs)
    assert (outcome.failed, outcome.attempted >= 20) == (0, True)

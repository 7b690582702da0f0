"""What one multiply-accumulate (MAC) is, for every kind of operation: the definition behind every count of kwsbench.

A multiplication counts 1, and the addition that collects its result counts nothing. So does every function of one value
that takes a multiplier or a table to evaluate (a division, a square root, exp, sin, ...). Additions, comparisons and
moves are free, and so are the usual activations that a device evaluates by comparing or from a small table. All counts
are exact integers, for the shapes that are executed; what does not depend on the model's input costs nothing, because
it can be computed once, before the first clip. PyTorch and ONNX are counted by the same functions of this module.

| operation | MACs |
|---|---|
| convolution | output elements x input channels per group x kernel elements (padding included) |
| transposed convolution | input elements x output channels per group x kernel elements |
| matrix product (.., m, k) x (.., k, n) | batch x m x k x n; a bias is free; a factor other than 0 and 1: + 1 per output |
| batch norm with running statistics | 1 per element: one scale, one shift |
| layer, group, instance norm; batch norm on the clip's own statistics; RMS norm | 2 per element, 3 with a scale |
| multiply, divide, remainder, floor-divide, square, pow, sqrt, rsqrt, reciprocal | 1 per output element |
| exp, log and their kin, sin, cos, tan, sinh, cosh and their inverses | 1 per output element |
| bit shifts, ldexp, lerp, addcmul, addcdiv | 1 per output element |
| prelu, leaky relu, silu, gelu, mish, hardswish, glu, selu | 1 per output element |
| product, cumulative product | 1 per input element |
| addition or subtraction of something times a factor other than 0 and 1 | 1 per output element |
| softmax | 2 per element (exp, division); log-softmax 1 |
| mean, average pooling | 1 per output element (the division) |
| variance, standard deviation, Euclidean norm | 1 per input element + 1 per output element |
| Fourier transform of n points | 2 n ceil(log2 n); with real input or real output half of that |
| attention of L queries and S keys | per head L S E + 3 L S + L S Ev (products, scale and softmax) |
| LSTM, per step and direction | 4 H (I + H) + 3 H; with a projection to P: 4 H (I + P) + 3 H + H P |
| GRU, per step and direction | 3 H (I + H) + 2 H |
| plain RNN, per step and direction | H (I + H) |
| interpolation | per output element: nearest 0, linear 2, bilinear 4, trilinear 8, bicubic 16 |
| complex numbers | complex x complex 4, complex x real 2; absolute value 3 |
| quantising | 1 per element |
| relu, clamp, abs, sign, round, sigmoid, tanh, hardsigmoid, softplus, elu, erf | 0 |
| additions, sums, comparisons, max, sort, gather, embedding, padding, views, copies, changes of type | 0 |

Where a system multiplies less than this (zeros in the padding, a causal mask, a fast convolution) the count stays: it
is the cost of the plain method, the same for everyone. Anything that is not in the table has no count at all, and a
model that uses it cannot be certified.
"""

from __future__ import annotations

REAL, COMPLEX_BY_REAL, COMPLEX = 1, 2, 4
"""Real multiplications in one multiplication of two real numbers, of a complex and a real one, of two complex ones."""

INTERPOLATION = {"nearest": 0, "linear": 2, "bilinear": 4, "trilinear": 8, "bicubic": 16}
"""MACs for one interpolated value: the neighbours that are weighted and summed."""

COMPLEX_MAGNITUDE = 3
"""MACs for the absolute value of one complex number: two squares and a root."""


def convolution(output_elements: int, input_channels_per_group: int, kernel_elements: int) -> int:
    """Counts a convolution: every output value is a sum over the channels of its group and the kernel.

    Args:
        output_elements: Values in the output, over batch, channels and positions.
        input_channels_per_group: Input channels that one output channel sees (1 for a depthwise convolution).
        kernel_elements: Positions of the kernel, over all its dimensions. Padding is multiplied like any other input.

    Returns:
        MACs.

    >>> convolution(output_elements=16 * 101, input_channels_per_group=64, kernel_elements=3)
    310272
    """
    return output_elements * input_channels_per_group * kernel_elements


def transposed_convolution(input_elements: int, output_channels_per_group: int, kernel_elements: int) -> int:
    """Counts a transposed convolution: every input value is spread over the kernel and the channels of its group.

    Args:
        input_elements: Values in the input, over batch, channels and positions.
        output_channels_per_group: Output channels that one input channel feeds.
        kernel_elements: Positions of the kernel, over all its dimensions. What padding cuts off is counted.

    Returns:
        MACs.

    >>> transposed_convolution(input_elements=8 * 10, output_channels_per_group=4, kernel_elements=3)
    960
    """
    return input_elements * output_channels_per_group * kernel_elements


def matrix_product(batch: int, rows: int, inner: int, columns: int) -> int:
    """Counts products of (rows, inner) with (inner, columns) matrices; vectors have one row or one column.

    >>> matrix_product(batch=1, rows=1, inner=64, columns=12)  # a linear layer with 64 inputs and 12 outputs
    768
    """
    return batch * rows * inner * columns


def scaling(factor: complex, elements: int) -> int:
    """Counts multiplying by a constant, as `alpha` and `beta` do: nothing where it is 0 or 1, else 1 per element.

    >>> scaling(1, 100), scaling(0.5, 100)
    (0, 100)
    """
    return 0 if factor in {0, 1} else elements


def batch_normalisation(elements: int) -> int:
    """Counts a batch norm with running statistics: they fold into one scale and one shift for every element.

    >>> batch_normalisation(1600)
    1600
    """
    return elements


def normalisation(elements: int, *, scaled: bool) -> int:
    """Counts a norm on the input's own statistics (layer, group, instance, RMS norm).

    Args:
        elements: Values in the input.
        scaled: Whether a learned scale follows.

    Returns:
        MACs: a square and a division per element, and one more for the scale.

    >>> normalisation(100, scaled=True)
    300
    """
    return elements * (3 if scaled else 2)


def softmax(elements: int) -> int:
    """Counts a softmax: exp and a division for every element.

    >>> softmax(12)
    24
    """
    return 2 * elements


def log_softmax(elements: int) -> int:
    """Counts a log-softmax: exp for every element; the logarithm of the sum is subtracted.

    >>> log_softmax(12)
    12
    """
    return elements


def per_element(elements: int, *, multiplications: int = REAL) -> int:
    """Counts an operation on every element by itself, such as a multiplication or a square root.

    Args:
        elements: Values in the output.
        multiplications: Real multiplications per element: `REAL`, `COMPLEX_BY_REAL` or `COMPLEX`, or what the
            operation takes.

    Returns:
        MACs.

    >>> per_element(10), per_element(10, multiplications=COMPLEX)
    (10, 40)
    """
    return elements * multiplications


def mean(output_elements: int) -> int:
    """Counts a mean or an average pooling: one division for every output value, whatever it sums.

    >>> mean(16)
    16
    """
    return output_elements


def sum_of_squares(input_elements: int, output_elements: int) -> int:
    """Counts a variance, a standard deviation or a Euclidean norm: a square each, then a division or a root.

    >>> sum_of_squares(input_elements=100, output_elements=4)
    104
    """
    return input_elements + output_elements


def fourier_transform(points: int, transforms: int, *, real: bool) -> int:
    """Counts fast Fourier transforms of one dimension.

    The radix-2 method of Cooley and Tukey (Mathematics of Computation 19, 1965) takes n/2 log2(n) butterflies, each with
    one complex multiplication. Where n is no power of two, log2(n) is rounded up. A transform with real input, or with
    real output, has half the work. The factor of a normalised or inverse transform is part of its coefficients.

    Args:
        points: Points of one transform, n.
        transforms: How many transforms of n points.
        real: Whether input or output is real.

    Returns:
        MACs.

    >>> fourier_transform(points=512, transforms=1, real=True)
    4608
    """
    levels = max(points - 1, 0).bit_length()
    return transforms * points * levels * (1 if real else 2)


def attention(heads: int, queries: int, keys: int, key_width: int, value_width: int) -> int:
    """Counts scaled dot-product attention (Vaswani et al., arXiv 1706.03762, section 3.2.1), masked or not.

    Args:
        heads: Heads over the whole batch, B x H.
        queries: Queries of each head, L.
        keys: Keys of each head, S.
        key_width: Width of a query and a key, E.
        value_width: Width of a value, Ev.

    Returns:
        MACs: query-key products, their scale and softmax, and the weighted sums of values.

    >>> attention(heads=2, queries=5, keys=7, key_width=4, value_width=3)
    700
    """
    scores = heads * queries * keys
    return scores * key_width + scores + softmax(scores) + scores * value_width


def lstm_layer(inputs: int, hidden: int, steps: int, projected: int = 0) -> int:
    """Counts one direction of one LSTM layer (Hochreiter and Schmidhuber, Neural Computation 9, 1997).

    Args:
        inputs: Width of the input, I.
        hidden: Width of the cell, H.
        steps: Time steps over the whole batch.
        projected: Width that the output is projected to, P; 0 for none.

    Returns:
        MACs: four gates, three products per cell (forget, input and output gate), and the projection.

    >>> lstm_layer(inputs=3, hidden=4, steps=10)
    1240
    """
    fed_back = projected or hidden
    return steps * (4 * hidden * (inputs + fed_back) + lstm_gates(hidden) + hidden * projected)


def lstm_gates(cells: int) -> int:
    """Counts what an LSTM multiplies beside its matrices: forget, input and output gate of every cell.

    >>> lstm_gates(4)
    12
    """
    return 3 * cells


def gru_layer(inputs: int, hidden: int, steps: int) -> int:
    """Counts one direction of one GRU layer (Cho et al., arXiv 1406.1078).

    The new state is `z * (h - n) + n`, which multiplies once where `(1 - z) * n + z * h` would multiply twice.

    Args:
        inputs: Width of the input, I.
        hidden: Width of the state, H.
        steps: Time steps over the whole batch.

    Returns:
        MACs: three gates, and two products per state (reset and update gate).

    >>> gru_layer(inputs=3, hidden=4, steps=10)
    920
    """
    return steps * (3 * hidden * (inputs + hidden) + gru_gates(hidden))


def gru_gates(states: int) -> int:
    """Counts what a GRU multiplies beside its matrices: reset and update gate of every state.

    >>> gru_gates(4)
    8
    """
    return 2 * states


def rnn_layer(inputs: int, hidden: int, steps: int) -> int:
    """Counts one direction of one plain recurrent layer with tanh or relu.

    >>> rnn_layer(inputs=3, hidden=4, steps=10)
    280
    """
    return steps * hidden * (inputs + hidden)


def interpolation(output_elements: int, mode: str) -> int:
    """Counts resizing or sampling.

    Args:
        output_elements: Values in the output.
        mode: A key of `INTERPOLATION`.

    Returns:
        MACs.

    >>> interpolation(100, "bilinear")
    400
    """
    return output_elements * INTERPOLATION[mode]


def quantisation(elements: int) -> int:
    """Counts bringing values to integers or back: one division or multiplication by the step each.

    >>> quantisation(64)
    64
    """
    return elements

"""Oracles for the shape rules: PyTorch and NumPy on arguments that hypothesis draws, and sums over index sets."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.budget.onnx.einsum import equation_of
from kwsbench.budget.onnx.graph import INT64, Step, Value
from kwsbench.budget.onnx.names import layer_of_step, layer_of_tensor
from kwsbench.budget.onnx.numbers import numbers_of
from kwsbench.budget.onnx.operands import broadcast
from kwsbench.budget.onnx.shapes import RULES
from kwsbench.errors import InputError

PROPERTY = settings(deadline=None, derandomize=True, max_examples=100, database=None)
SMALL = st.integers(1, 4)


def shape_of(op: str, shapes: list[tuple[int, ...]], **attributes: object) -> tuple[int, ...]:
    """The shape that a rule gives for floats of the given shapes."""
    return RULES[op](Step(op, op, (), ("y",), attributes), [Value(shape, 1) for shape in shapes])[0]


@PROPERTY
@given(st.tuples(st.integers(6, 20), SMALL, SMALL, SMALL, st.integers(0, 3), st.sampled_from([1, 2])))
def test_a_convolution_has_the_shape_that_torch_gives(drawn: tuple[int, ...]) -> None:
    """Kernel, stride, dilation, padding and groups act as in torch; what does not fit is an error in both."""
    size, kernel, stride, dilation, padding, groups = drawn
    net = torch.nn.Conv1d(4, 6, kernel, stride, padding, dilation, groups)
    weight = tuple(net.weight.shape)
    options = {"strides": [stride], "dilations": [dilation], "pads": [padding, padding], "group": groups}
    try:
        expected = tuple(net(torch.zeros(1, 4, size)).shape)
    except RuntimeError:
        expected = None
    try:
        found = shape_of("Conv", [(1, 4, size), weight], **options)
    except InputError:
        found = None
    assert found == expected


@PROPERTY
@given(st.integers(3, 12), SMALL, SMALL, st.integers(0, 1))
def test_a_transposed_convolution_has_the_shape_that_torch_gives(
    size: int, kernel: int, stride: int, more: int
) -> None:
    """Stride, kernel and output padding act as in torch."""
    more = min(more, stride - 1)
    net = torch.nn.ConvTranspose1d(4, 6, kernel, stride, output_padding=more)
    options = {"strides": [stride], "output_padding": [more]}
    found = shape_of("ConvTranspose", [(1, 4, size), (4, 6, kernel)], **options)
    assert found == tuple(net(torch.zeros(1, 4, size)).shape)


@PROPERTY
@given(st.integers(4, 20), SMALL, SMALL, st.integers(0, 2), st.booleans())
def test_a_pooling_has_the_shape_that_torch_gives(
    size: int,
    kernel: int,
    stride: int,
    padding: int,
    ceil_mode: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    """Also where it is rounded up, and a window that would begin behind the input is left out."""
    padding = min(padding, kernel // 2)
    expected = torch.nn.functional.avg_pool1d(torch.zeros(1, 2, size), kernel, stride, padding, ceil_mode)
    options = {"kernel_shape": [kernel], "strides": [stride], "pads": [padding] * 2, "ceil_mode": int(ceil_mode)}
    assert shape_of("AveragePool", [(1, 2, size)], **options) == tuple(expected.shape)


SHAPES = st.lists(st.sampled_from([1, 2, 3]), max_size=3).map(tuple)


@PROPERTY
@given(st.lists(SHAPES, min_size=1, max_size=3))
def test_shapes_broadcast_as_numpy_broadcasts(shapes: list[tuple[int, ...]]) -> None:
    """The common shape is NumPy's, and so is the lack of one."""
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        expected = None
    try:
        found = broadcast(Step("Add", "Add", (), ()), shapes)
    except InputError:
        found = None
    assert found == expected


@PROPERTY
@given(SHAPES, SHAPES, SMALL)
def test_a_matrix_product_has_the_shape_that_numpy_gives(left: tuple[int, ...], right: tuple[int, ...], n: int) -> None:
    """Batches broadcast, and vectors lose their axis."""
    try:
        expected = np.matmul(np.zeros((*left, n)), np.zeros(right)).shape
    except ValueError:
        expected = None
    try:
        found = shape_of("MatMul", [(*left, n), right])
    except InputError:
        found = None
    assert found == expected


INDEX = st.integers(-12, 12)


@PROPERTY
@given(st.integers(1, 10), INDEX, INDEX, st.sampled_from([-3, -1, 1, 2]))
def test_a_slice_has_the_length_and_the_numbers_that_numpy_gives(size: int, start: int, end: int, stride: int) -> None:
    """Bounds beyond the ends, counted from the back, and backwards."""
    content = np.arange(size)
    operands = [Value((n.size,), INT64, numbers=n) for n in map(np.atleast_1d, (content, start, end, 0, stride))]
    step = Step("Slice", "Slice", ("x", "b", "e", "a", "s"), ("y",))
    expected = content[start:end:stride]
    assert RULES["Slice"](step, operands) == [expected.shape]
    assert np.array_equal(numbers_of(step, operands, expected.shape), expected)


@PROPERTY
@given(
    st.lists(st.text("abc", min_size=1, max_size=3).filter(lambda t: len(set(t)) == len(t)), min_size=2, max_size=2),
    st.data(),
)
def test_an_einsum_of_two_multiplies_once_for_every_index(terms: list[str], data: st.DataObject) -> None:
    """Oracle: the number of combinations of the letters that are not summed before the product."""
    sizes = {"a": 2, "b": 3, "c": 5}
    letters = sorted(set("".join(terms)))
    output = "".join(letter for letter in letters if data.draw(st.booleans()))
    shapes = [tuple(sizes[letter] for letter in term) for term in terms]
    step = Step("Einsum", "Einsum", (), ("y",), {"equation": f"{terms[0]},{terms[1]}->{output}"})
    equation = equation_of(step, shapes)
    expected = np.einsum(f"{','.join(terms)}->{output}", *map(np.zeros, shapes))
    assert equation.shape == expected.shape
    multiplied = [letter for letter in letters if letter in output or all(letter in term for term in terms)]
    assert equation.macs == sum(1 for _ in itertools.product(*(range(sizes[letter]) for letter in multiplied)))


def test_an_einsum_of_three_is_contracted_from_left_to_right() -> None:
    """(i j)(j k) first, then (i k)(k l)."""
    step = Step("Einsum", "Einsum", (), ("y",), {"equation": "ij,jk,kl->il"})
    assert equation_of(step, [(2, 3), (3, 5), (5, 7)]).macs == 2 * 3 * 5 + 2 * 5 * 7


def test_division_of_whole_numbers_cuts_off_and_never_fails() -> None:
    """As in ONNX, -7 / 2 is -3, and a division by zero is left unknown."""
    step = Step("Div", "Div", ("a", "b"), ("y",))
    values = [Value((), INT64, numbers=np.array(number)) for number in (-7, 2, 0)]
    assert numbers_of(step, values[:2], ()) == -3
    assert numbers_of(step, [values[0], values[2]], ()) is None


def test_long_contents_are_not_followed() -> None:
    """A result of many numbers is known by its shape only, however small its inputs are."""
    step = Step("ConstantOfShape", "ConstantOfShape", ("s",), ("y",))
    size = Value((1,), INT64, numbers=np.array([10**12]))
    assert numbers_of(step, [size], (10**12,)) is None
    assert math.prod(RULES["ConstantOfShape"](step, [size])[0]) == 10**12


def test_names_of_exporters_lead_to_modules() -> None:
    """Weights are named by their module, and so are nodes; what an exporter made up says nothing."""
    assert layer_of_tensor("blocks.0.conv.weight") == "blocks.0.conv"
    assert layer_of_tensor("blocks.0.conv.weight_quantized") == "blocks.0.conv"
    assert layer_of_tensor("onnx::Conv_119") is None
    assert layer_of_tensor("alpha") is None
    assert layer_of_step(Step("Conv", "/blocks/blocks.0/conv/Conv", (), ())) == "blocks.0.conv"
    assert layer_of_step(Step("Mul", "/Mul_1", (), ())) == "Mul_1"

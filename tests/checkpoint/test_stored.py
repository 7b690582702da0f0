"""Tests of `kwsbench.checkpoint.stored` against counting the places one by one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from kwsbench.checkpoint import stored
from kwsbench.checkpoint.stored import StoredNumbers, View, covered_bytes, covered_elements, stored_numbers, view_of
from kwsbench.errors import RefusedError
from tests.checkpoint.conftest import small_network

SHAPES = st.integers(0, 4).flatmap(
    lambda n: st.tuples(
        st.integers(0, 20), *[st.lists(st.integers(0, top), min_size=n, max_size=n).map(tuple) for top in (5, 12)]
    )
)
FLOATS = SHAPES.map(lambda shape: View("a", *shape, 4))
MIXED = st.builds(
    lambda name, shape, width: View(name, *shape, width), st.sampled_from("ab"), SHAPES, st.sampled_from([1, 2, 4])
)


def _bytes_of(view: View) -> set[tuple[Any, int]]:
    """Every byte of a view, by walking over all of its indices."""
    places = [
        view.offset + sum(i * step for i, step in zip(index, view.stride, strict=True)) for index in _indices(view)
    ]
    return {(view.storage, place * view.itemsize + byte) for place in places for byte in range(view.itemsize)}


def _indices(view: View) -> itertools.product[tuple[int, ...]]:
    return itertools.product(*map(range, view.size))


@given(st.lists(FLOATS, max_size=6))
def test_coverage_is_what_counting_one_by_one_gives(views: list[View]) -> None:
    """Strided, overlapping, repeated and empty views cover as many numbers as there are distinct places."""
    places = set().union(*map(_bytes_of, views))
    assert covered_bytes(views) == len(places)
    assert covered_elements(views) == len(places) // 4


@given(st.lists(MIXED, max_size=6))
def test_bytes_are_exact_for_views_of_several_widths(views: list[View]) -> None:
    """However views of one storage differ in type, the bytes that they cover are counted once."""
    assert covered_bytes(views) == len(set().union(*map(_bytes_of, views)))


@given(st.lists(MIXED, max_size=6))
def test_the_narrowest_width_of_a_storage_counts(views: list[View]) -> None:
    """A storage that is read at two widths has as many numbers as at the narrower one."""
    expected = 0
    for name in "ab":
        own = [view for view in views if view.storage == name and 0 not in view.size]
        expected += len(set().union(*map(_bytes_of, own))) // min((view.itemsize for view in own), default=1)
    assert covered_elements(views) == expected


@given(st.lists(FLOATS, max_size=4), FLOATS)
def test_another_view_never_lowers_the_count(views: list[View], more: View) -> None:
    """Counts only grow, and by no more than the view that comes."""
    before = covered_elements(views)
    assert before <= covered_elements([*views, more]) <= before + covered_elements([more])


@pytest.mark.parametrize(
    ("size", "stride", "expected"),
    [
        ((10**12,), (0,), 1),
        ((10**12, 3), (0, 1), 3),
        ((10**6, 10**6), (1, 1), 2 * 10**6 - 1),
        ((10**6, 10**6), (2, 2), 2 * 10**6 - 1),
        ((1000, 1000, 1000), (1, 2, 3), 999 * 6 + 1),
        ((10**18, 0), (0, 0), 0),
        ((), (), 1),
        ((500, 1000), (2000, 2), 500_000),
    ],
)
def test_shapes_cost_nothing(size: tuple[int, ...], stride: tuple[int, ...], expected: int) -> None:
    """Views of 10^12 numbers are counted by what they store."""
    assert covered_elements([View(0, 0, size, stride, 4)]) == expected


def test_views_of_different_storages_are_apart() -> None:
    """The same places of two storages are two places."""
    assert covered_elements([View(name, 0, (5,), (1,), 4) for name in "ab"]) == 10


def test_absurdly_many_overlapping_views_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that would take minutes to count is refused."""
    monkeypatch.setattr(stored, "_MAX_PLACES", 1_000)
    views = [View(0, place, (100, 2), (3, 2), 4) for place in range(3)]
    assert covered_elements(views[:1])
    with pytest.raises(RefusedError, match="cannot be counted"):
        covered_elements([View(0, place, (100, 2), (7, 3), 4) for place in range(3)])


def test_a_network_has_as_many_numbers_as_its_parameters() -> None:
    """Batch norm's means and variances are apart, and the count of batches is nowhere."""
    network = small_network()
    assert sum(weight.numel() for weight in network.parameters()) == 245
    assert stored_numbers(network.state_dict()) == StoredNumbers(245, 980, 16)


def test_statistics_without_a_scale_are_the_scale() -> None:
    """A batch norm without weight and bias has no other numbers than its statistics."""
    assert stored_numbers(nn.BatchNorm1d(8, affine=False).state_dict()) == StoredNumbers(16, 64, 0)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({"running_mean": torch.ones(9), "weight": torch.ones(9)}, 18),
        ({"running_mean": torch.ones(9), "running_var": torch.ones(9), "weight": torch.ones(3)}, 21),
        ({"running_mean": torch.ones(3, 3), "running_var": torch.ones(3, 3), "weight": torch.ones(3, 3)}, 27),
        ({"a.running_mean": torch.ones(9), "a.running_var": torch.ones(9), "b.weight": torch.ones(9)}, 27),
        ({"num_batches_tracked": torch.tensor(5)}, 1),
        ({**nn.BatchNorm1d(2).state_dict(), "num_batches_tracked": torch.ones(100)}, 104),
    ],
    ids=["no variance", "another size", "two dimensions", "another layer", "a lone count", "a count of a hundred"],
)
def test_names_alone_hide_no_numbers(tensors: dict[str, torch.Tensor], expected: int) -> None:
    """Only a mean and a variance that fit the scale beside them are apart."""
    assert stored_numbers(tensors).params == expected


def test_complex_numbers_are_two() -> None:
    """A complex number counts its real and its imaginary part."""
    assert stored_numbers({"w": torch.ones(3, dtype=torch.complex64)}) == StoredNumbers(6, 24, 0)


def test_shared_storage_counts_once() -> None:
    """Tied weights, slices of a weight and repeated weights are counted where they are stored."""
    weight = torch.ones(4, 5)
    tensors = {"a": weight, "b": weight.T, "c": weight[1:, ::2], "d": weight[0, 0].expand(10**12)}
    assert stored_numbers(tensors) == StoredNumbers(20, 80, 0)


def test_a_part_of_a_storage_counts_what_it_covers() -> None:
    """Numbers in a storage that no tensor shows are not counted."""
    assert stored_numbers({"w": torch.ones(100)[10:30:2]}) == StoredNumbers(10, 40, 0)


def test_bytes_are_at_the_stored_width() -> None:
    """A half takes two bytes, a bool and an int8 one."""
    tensors = {"a": torch.ones(3).half(), "b": torch.ones(5, dtype=torch.int8), "c": torch.ones(2, dtype=torch.bool)}
    assert stored_numbers(tensors) == StoredNumbers(10, 13, 0)


def test_a_view_of_a_tensor_is_its_place() -> None:
    """Offset, size and stride are the tensor's own, in numbers."""
    tensor = torch.arange(12.0).reshape(3, 4)[1:, ::2]
    view = view_of(tensor)
    assert (view.offset, view.size, view.stride, view.itemsize) == (4, (2, 2), (4, 2), 4)

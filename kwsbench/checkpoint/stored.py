"""How many numbers tensors store: shared storage once, repeated numbers once, whatever shapes they claim.

A tensor is a view of a storage: its numbers lie at `offset + sum(i[k] * stride[k])`. With a stride of 0 a view of one
number has a shape of 10^12, and views may overlap themselves and each other; what counts is how many distinct places
they cover.

Method. Places are bits of an integer. A view starts as one bit; a dimension of n steps of s places adds n - 1 shifted
copies, made by doubling (shift by s, by 2s, by 4s, ...), and dimensions that continue each other are merged first. Views
without gaps are kept as intervals. Time and memory grow with the part of the storage that views with gaps span, and with
the logarithm of the shape, never with the shape itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.errors import RefusedError

_MAX_PLACES = 1 << 34  # that views with gaps span, all together: half a minute
_QUANTISED_BYTES = 8  # PyTorch keeps a tensor's scale and its zero point in 8 bytes each
_STATISTICS = ("running_mean", "running_var")
_NUM_BATCHES = "num_batches_tracked"


@dataclass(frozen=True)
class View:
    """The place of a tensor in its storage.

    Attributes:
        storage: What the storage is known by.
        offset: Of its first number, in numbers.
        size: Its shape.
        stride: From one number to the next along each dimension, in numbers, at least 0.
        itemsize: Bytes of one number.
    """

    storage: Hashable
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    itemsize: int


@dataclass(frozen=True)
class StoredNumbers:
    """What a set of tensors stores.

    Attributes:
        params: Distinct stored numbers; a complex number is two. Batch norm's statistics are not among them where a
            scale stands beside them, because they fold into scale and shift.
        weight_bytes: Bytes of these, at the width that they are stored with.
        batch_norm_statistics: The means and variances that are not counted. How many batches they are of is neither
            here nor there: nothing that is computed depends on it.
    """

    params: int
    weight_bytes: int
    batch_norm_statistics: int


def covered_elements(views: Iterable[View]) -> int:
    """Returns how many distinct numbers views cover, exactly.

    Where views of one storage have numbers of different widths, all of them count at the narrowest.

    Raises:
        RefusedError: There are so many overlapping views with gaps that counting would take minutes.
    """
    return sum(count for _, count in _covered(views))


def covered_bytes(views: Iterable[View]) -> int:
    """Returns how many distinct bytes views cover. Raises as `covered_elements` does."""
    return sum(width * count for width, count in _covered(views))


def view_of(tensor: Any) -> View:
    """Returns the place of a torch tensor in its storage; a complex number is two numbers there."""
    place = View(
        *(tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.size()), tuple(tensor.stride())),
        tensor.element_size(),
    )
    return _refined(place, 2) if tensor.is_complex() else place


def stored_numbers(tensors: Mapping[str, Any]) -> StoredNumbers:
    """Counts the numbers that a state_dict stores.

    Args:
        tensors: Dense torch tensors by name; what batch norm's statistics are is told by the names.

    Raises:
        RefusedError: As `covered_elements`.
    """
    read = {name: tensor for name, tensor in tensors.items() if not _is_batch_count(name, tensors)}
    counted = [view for name in read if not _is_foldable_statistic(name, tensors) for view in _views(tensors[name])]
    everything = [view for tensor in read.values() for view in _views(tensor)]
    params, quantisers = covered_elements(counted), sum(map(_scalar_quantisers, tensors.values()))
    return StoredNumbers(
        params + quantisers,
        covered_bytes(counted) + _QUANTISED_BYTES * quantisers,
        covered_elements(everything) - params,
    )


def _views(tensor: Any) -> list[View]:
    if not tensor.is_quantized or _scalar_quantisers(tensor):
        return [view_of(tensor)]
    return [view_of(part) for part in (tensor, tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points())]


def _scalar_quantisers(tensor: Any) -> int:
    # The scale and the zero point of a tensor that has one of each.
    return 2 if tensor.is_quantized and "per_tensor" in str(tensor.qscheme()) else 0


def _is_foldable_statistic(name: str, tensors: Mapping[str, Any]) -> bool:
    scale = tensors.get(_beside(name, "weight"))
    is_statistic = name.rpartition(".")[2] in _STATISTICS and _has_statistics(name, tensors)
    return is_statistic and scale is not None and scale.dim() == 1 and scale.size() == tensors[name].size()


def _is_batch_count(name: str, tensors: Mapping[str, Any]) -> bool:
    return name.rpartition(".")[2] == _NUM_BATCHES and not tensors[name].size() and _has_statistics(name, tensors)


def _has_statistics(name: str, tensors: Mapping[str, Any]) -> bool:
    return all(_beside(name, part) in tensors for part in _STATISTICS)


def _beside(name: str, last: str) -> str:
    return "".join(name.rpartition(".")[:2]) + last


def _covered(views: Iterable[View]) -> list[tuple[int, int]]:
    # Width and count for each storage.
    by_storage: dict[Hashable, set[View]] = defaultdict(set)
    for view in views:
        if 0 not in view.size:
            by_storage[view.storage].add(view)
    return [_covered_in_storage(views_of_one) for views_of_one in by_storage.values()]


def _covered_in_storage(views: set[View]) -> tuple[int, int]:
    width = math.gcd(*(view.itemsize for view in views))
    runs = {_run(_refined(view, view.itemsize // width)) for view in views}
    gapless = _intervals((run.start, run.end) for run in runs if run.is_gapless)
    with_gaps = [run for run in runs if not run.is_gapless]
    if sum(run.end - run.start for run in with_gaps) > _MAX_PLACES:
        raise RefusedError("the tensors overlap each other in so many ways that they cannot be counted")
    return width, _union(gapless, with_gaps)


def _refined(view: View, parts: int) -> View:
    """Returns the same view in numbers of which `parts` make one."""
    if parts == 1:
        return view
    stride = (*(step * parts for step in view.stride), 1)
    return replace(
        view, offset=view.offset * parts, size=(*view.size, parts), stride=stride, itemsize=view.itemsize // parts
    )


@dataclass(frozen=True)
class _Run:
    """A view with its dimensions merged: places from `start` on, `steps` as pairs of count and distance."""

    start: int
    steps: tuple[tuple[int, int], ...]

    @property
    def end(self) -> int:
        return self.start + 1 + sum((count - 1) * distance for count, distance in self.steps)

    @property
    def is_gapless(self) -> bool:
        return not self.steps or (len(self.steps) == 1 and self.steps[0][1] == 1)

    def places(self) -> NDArray[np.bool_]:
        """Returns which places from `start` to `end` are covered."""
        count = self.end - self.start
        packed = np.frombuffer(self._bits().to_bytes((count + 7) // 8, "little"), dtype=np.uint8)
        return np.unpackbits(packed, count=count, bitorder="little").view(np.bool_)

    def _bits(self) -> int:
        bits = 1
        for count, distance in self.steps:
            copies = 1
            while copies < count:
                more = min(copies, count - copies)
                bits |= bits << (more * distance)
                copies += more
        return bits


def _run(view: View) -> _Run:
    dimensions = sorted(zip(view.stride, view.size, strict=True))
    steps: list[tuple[int, int]] = []
    for distance, count in dimensions:
        if count == 1 or distance == 0:
            continue
        if steps and distance % steps[-1][1] == 0 and distance <= steps[-1][0] * steps[-1][1]:
            # This dimension continues the one before, or overlaps it, on the same grid.
            inner, grid = steps[-1]
            steps[-1] = (inner + (count - 1) * (distance // grid), grid)
        else:
            steps.append((count, distance))
    return _Run(view.offset, tuple(steps))


def _intervals(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(pieces):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _union(gapless: list[tuple[int, int]], with_gaps: list[_Run]) -> int:
    """Returns how many places intervals, which do not overlap each other, and runs with gaps cover together."""
    if not with_gaps:
        return sum(end - start for start, end in gapless)
    first = min(run.start for run in with_gaps)
    last = max(run.end for run in with_gaps)
    covered = np.zeros(last - first, dtype=np.bool_)
    for run in with_gaps:
        covered[run.start - first : run.end - first] |= run.places()
    outside = 0
    for start, end in gapless:
        inside = slice(max(start, first) - first, max(min(end, last), first) - first)
        covered[inside] = True
        outside += end - start - max(0, inside.stop - inside.start)
    return outside + int(covered.sum())

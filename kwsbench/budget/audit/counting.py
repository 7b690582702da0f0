"""Adds up what runs have read: stored numbers, by the layer that they belong to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from kwsbench.budget.audit.lineage import Lineage, Root, number_bits
from kwsbench.budget.audit.python_numbers import FREE, shortest_period
from kwsbench.budget.audit.stored_names import Stored, address_of
from kwsbench.checkpoint.stored import covered_elements, view_of

MADE_WHILE_RUNNING = "(tensors made while running)"


@dataclass
class Total:
    """Stored numbers of one layer, and their bytes."""

    params: int = 0
    weight_bytes: int = 0


@dataclass
class StoredCount:
    """All stored numbers of a network.

    Attributes:
        by_layer: By the layer that they belong to.
        layers: The name of the layer, by stored numbers.
        statistics: Batch norm's running statistics, which are not among them.
        never_read: Those that no probe made the network read.
        unregistered: Those that are neither parameters nor buffers, single numbers aside.
        unregistered_shapes: Shapes of these.
        single: What tensors of one number hold that are neither parameters nor buffers.
    """

    by_layer: dict[str, Total] = field(default_factory=lambda: defaultdict(Total))
    layers: dict[Root, str] = field(default_factory=dict)
    statistics: int = 0
    never_read: int = 0
    unregistered: int = 0
    unregistered_shapes: list[tuple[int, ...]] = field(default_factory=list)
    single: list[Hashable] = field(default_factory=list)


def count_stored(lineage: Lineage, stored: Sequence[Stored], weight_bits: dict[str, int]) -> StoredCount:
    """Counts what was read and what is there.

    Args:
        lineage: Everything that was read.
        stored: Everything that belongs to the network.
        weight_bits: Width of the weights of the layers that quantise them.
    """
    count = StoredCount()
    names = {address_of(one.tensor): one for one in reversed(stored)}
    count.never_read = _add_unread(lineage, stored)
    fresh = [root for address, root in lineage.roots.items() if address not in names and not root.is_kept]
    merged = _merged(fresh)
    for address, root in lineage.roots.items():
        _add_root(count, root, names.get(address), weight_bits, is_counted=root not in merged or merged[root])
    return count


def _add_unread(lineage: Lineage, stored: Sequence[Stored]) -> int:
    unread = 0
    for one in stored:
        new = Root(one.tensor.untyped_storage(), b"", tuple(one.tensor.shape), number_bits(one.tensor))
        root = lineage.roots.setdefault(address_of(one.tensor), new)
        view = view_of(one.tensor)
        if view in root.views or view in root.statistics:
            continue
        before = covered_elements(root.views)
        root.views.add(view)
        unread += covered_elements(root.views) - before
    return unread


def _add_root(
    count: StoredCount, root: Root, named: Stored | None, weight_bits: dict[str, int], *, is_counted: bool
) -> None:
    count.statistics += covered_elements(root.views | root.statistics) - covered_elements(root.views)
    layer = named.layer if named is not None else MADE_WHILE_RUNNING
    if named is None and root.is_kept:
        layer = f"(tensor {tuple(root.shape)} outside the modules)"
    count.layers[root] = layer
    params = root.params
    if not params or not is_counted:
        return
    if root.shape == () and params == 1 and (named is None or not named.is_parameter_or_buffer):
        count.single += [root.digest] if root.reaches_input else []
        return
    bits = weight_bits.get(named.owner) if named is not None and named.name.endswith("weight") else None
    total = count.by_layer[layer]
    total.params += params
    total.weight_bytes += root.weight_bytes if bits is None else -(-params * bits // 8)
    if named is None or not named.is_registered:
        count.unregistered += params
        count.unregistered_shapes.append(root.shape)


def _merged(fresh: Iterable[Root]) -> dict[Root, bool]:
    """Tells which of the tensors that are made anew in every run count: equal ones count once.

    One line of code that makes a long sequence of them holds a list of weights, and then all of the sequence counts.
    """
    sequences: dict[tuple[int, Hashable, Hashable], list[Root]] = defaultdict(list)
    for root in fresh:
        sequences[min(root.runs), root.place, root.shape].append(root)
    counts: dict[Root, bool] = {}
    seen: set[Hashable] = set()
    for (_, place, _), roots in sequences.items():
        digests = [root.digest for root in roots]
        period = shortest_period(digests)
        for position, root in enumerate(roots):
            label = (place, root.shape, position) if period > FREE and position < period else (root.digest,)
            counts[root] = label not in seen and (period <= FREE or position < period)
            seen.add(label)
    return counts

"""Where the numbers in a tensor come from: every storage that is seen while a network runs, and its history.

A tensor is known by its storage, because TorchScript wraps one tensor in many Python objects. What a storage holds is
remembered by a checksum, so that numbers which change while nobody looks (NumPy sharing the memory, an extension, code
that switches the audit off) are noticed at the next read.
"""

from __future__ import annotations

import ctypes
import hashlib
import zlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kwsbench.budget.reach import Reach
from kwsbench.checkpoint.stored import View, covered_bytes, covered_elements


@dataclass(eq=False, slots=True)
class Root:
    """Stored numbers: a storage that was read although no operator that was seen made what it holds.

    Attributes:
        storage: The storage itself, kept so that its address stays taken.
        digest: Hash of what it held when it was first read.
        shape: Shape of the tensor that was read first.
        bits: Width of one number of that tensor.
        views: What was read of it.
        statistics: What was read of it as running statistics of a batch norm with a scale of its own.
        unpacked: Elements of the integers that were unpacked from it, by a hash of what they are.
        reaches_input: They meet values that depend on the input.
        runs: The runs that read it.
        place: The code that read it first.
    """

    storage: Any
    digest: bytes
    shape: tuple[int, ...]
    bits: int
    views: set[View] = field(default_factory=set)
    statistics: set[View] = field(default_factory=set)
    unpacked: dict[int, int] = field(default_factory=dict)
    reaches_input: bool = False
    runs: set[int] = field(default_factory=set)
    place: Hashable = None

    @property
    def is_kept(self) -> bool:
        """Whether it stays from run to run; otherwise it is made anew in each."""
        return len(self.runs) > 1

    @property
    def params(self) -> int:
        """Distinct numbers that are read, or that are unpacked from them, whichever are more."""
        return max(covered_elements(self.views), sum(self.unpacked.values()))

    @property
    def weight_bytes(self) -> int:
        """Bytes of what is read."""
        return covered_bytes(self.views)

    @property
    def stored_numbers(self) -> int:
        """Numbers that the whole storage holds at that width, read or not."""
        numbers: int = 8 * self.storage.nbytes() // self.bits
        return numbers

    @property
    def stored_bits(self) -> int:
        """Width of one number as it is stored; integers packed several to a byte have less than 8."""
        stored = covered_elements(self.views)
        return self.bits * stored // self.params if stored and self.unpacked else self.bits


@dataclass(eq=False, slots=True)
class Record:
    """The history of one storage.

    Attributes:
        anchor: Keeps its address from being used again.
        number: Its place in the order in which storages appear in this run.
        run: The run in which it appeared.
        checksum: Of what it held after it was last written.
        num_bytes: Its size.
        depends: Its numbers depend on the input.
        roots: The stored numbers that it was made from.
        scrambled: What it was made from was taken apart on the way.
        unpacked_from: Stored numbers that were taken apart.
        generated: It holds random numbers.
        is_zero_state: Zeros, as a recurrent layer starts from.
        root: The stored numbers that it is, as long as nobody writes into them.
        born: The call that made it.
        last_used: The last call that used it.
        reach: What part of the input one value sees.
        bits: Width of one number where a quantiser says so.
    """

    anchor: Any
    number: int
    run: int
    checksum: int
    num_bytes: int
    depends: bool = False
    roots: tuple[Root, ...] = ()
    scrambled: bool = False
    unpacked_from: tuple[Root, ...] = ()
    generated: bool = False
    is_zero_state: bool = False
    root: Root | None = None
    born: int = 0
    last_used: int = 0
    reach: Reach | None = None
    bits: int | None = None


class Lineage:
    """Every storage that was seen, over all runs of one network."""

    def __init__(self) -> None:
        self.roots: dict[int, Root] = {}
        self.run = 0
        self.verifies = True
        self.newly_read: list[tuple[Root, bytes]] = []
        self.carried: set[tuple[int, ...]] = set()
        self.folded: dict[Hashable, Hashable] = {}
        self.appeared: list[Record] = []
        self._records: dict[int, Record] = {}

    def start_run(self, *, verifies: bool) -> None:
        """Begins a run; what earlier runs made and nobody holds any more is forgotten.

        Args:
            verifies: Whether checksums are taken; without them unseen changes go unnoticed.
        """
        self.run += 1
        self.verifies = verifies
        self.newly_read, self.carried, self.appeared = [], set(), []
        self._records = {key: one for key, one in self._records.items() if not one.root and not one.anchor.expired()}

    def forget(self, addresses: Iterable[int]) -> None:
        """Forgets the history of storages that hold again what they held at the start."""
        for address in addresses:
            self._records.pop(address, None)

    def record_of(self, tensor: Any) -> Record:
        """Returns the history of what a tensor holds; numbers that nobody was seen to make are stored numbers."""
        storage = tensor.untyped_storage()
        record = self._records.get(storage._cdata)  # noqa: SLF001 - the only identity that a storage has
        if record is None:
            return self._stored(tensor, storage)
        if self.verifies and record.checksum != self._checksum(storage):
            return self._stored(tensor, storage, depends=record.depends and record.run == self.run)
        if record.run != self.run:
            self._carry(record, tensor)
        return record

    def known(self, tensor: Any) -> Record | None:
        """Returns the history of a tensor that an operator gave, if its storage was seen before."""
        return self._records.get(tensor.untyped_storage()._cdata)  # noqa: SLF001 - as above

    def add(self, tensor: Any, *, depends: bool, roots: tuple[Root, ...] = ()) -> Record:
        """Notes a storage that was made by an operator that was seen, or that is the input."""
        storage = tensor.untyped_storage()
        record = self._record(storage)
        record.depends, record.roots = depends, roots
        return record

    def rewrite(self, record: Record, tensor: Any) -> None:
        """Notes that an operator that was seen has written into a storage."""
        storage = tensor.untyped_storage()
        record.checksum = self._checksum(storage)
        record.num_bytes = max(record.num_bytes, storage.nbytes())
        record.root = None
        record.is_zero_state = False

    def _record(self, storage: Any) -> Record:
        from torch.multiprocessing.reductions import StorageWeakRef

        anchor = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        record = Record(anchor, len(self.appeared), self.run, self._checksum(storage), storage.nbytes())
        self._records[storage._cdata] = record  # noqa: SLF001 - as above
        self.appeared.append(record)
        return record

    def _stored(self, tensor: Any, storage: Any, *, depends: bool = False) -> Record:
        digest = hashlib.blake2b(_memory(storage), digest_size=16).digest()
        root = self.roots.setdefault(storage._cdata, Root(storage, digest, tuple(tensor.shape), number_bits(tensor)))  # noqa: SLF001
        root.runs.add(self.run)
        record = self._record(storage)
        record.root, record.roots, record.depends = root, (root,), depends
        self.newly_read.append((root, digest))
        return record

    def _carry(self, record: Record, tensor: Any) -> None:
        record.run, record.number = self.run, len(self.appeared)
        record.born, record.reach = 0, None
        self.appeared.append(record)
        if record.depends:
            self.carried.add(tuple(tensor.shape))

    def _checksum(self, storage: Any) -> int:
        return zlib.crc32(_memory(storage)) if self.verifies else 0


def parts_of(tensor: Any) -> list[Any]:
    """Returns the dense tensors that a tensor consists of; none where its memory cannot be looked at."""
    import torch

    if tensor.layout == torch.strided:
        return [tensor] if tensor.device.type == "cpu" else []
    if tensor.layout == torch.sparse_coo:
        return [tensor._indices(), tensor._values()]  # noqa: SLF001 - the public ones want it coalesced
    if tensor.layout in {torch.sparse_csr, torch.sparse_bsr}:
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in {torch.sparse_csc, torch.sparse_bsc}:
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return []


def number_bits(tensor: Any) -> int:
    """Returns the width of one number of a tensor; a complex number is two numbers."""
    bits: int = 8 * tensor.element_size()
    return bits // 2 if tensor.is_complex() else bits


def _memory(storage: Any) -> Any:
    size = storage.nbytes()
    return (ctypes.c_ubyte * size).from_address(storage.data_ptr()) if size else b""

"""Zip archives of strangers, read only where every reader must see the same entries in them.

An archive passes if its entries, its directory and its end lie one behind the other and fill the file, if what stands
before each entry repeats what the directory says of it, and if all of it unpacks to little more than the file itself.
PyTorch writes such archives, and so do `zip` and Python's zipfile. Of any other, one reader can see what another one
does not: overlapping or hidden entries, two of one name, one name with two sizes. Nothing is unpacked before the sizes
of all entries are known. Layout: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 and 4.4.
"""

from __future__ import annotations

import re
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kwsbench.errors import InputError, RefusedError

ZIP_MAGIC = b"PK\x03\x04"
_MAX_ENTRIES = 20_000
_MAX_UNPACKED_BYTES = 512 << 20
_MAX_EXPANSION = 32
_HARMLESS_BYTES = 1 << 20  # text of a few kB may well pack better than that
_CHUNK_BYTES = 1 << 20

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_MAGIC = b"PK\x05\x06"
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")

_DESCRIBED_BEHIND, _UTF_8, _DEFLATE_LEVEL = 0x8, 0x800, 0x6
_STORED, _DEFLATED = 0, 8
_HARMLESS_EXTRAS = frozenset({0x4246, 0x5455, 0x5855, 0x7875, 0x000A})  # padding, and times and owners
_BAD_NAME = re.compile(r"[\x00-\x1f\\]|^/|^[A-Za-z]:|//|(^|/)\.\.?(/|$)|^$")


@dataclass(frozen=True)
class Entry:
    """One file in an archive.

    Attributes:
        name: Its path in the archive.
        start: Where its bytes begin.
        packed_bytes: How many bytes it takes there.
        num_bytes: How many bytes it unpacks to.
        crc32: Their check sum.
        deflated: Whether it is compressed.
    """

    name: str
    start: int
    packed_bytes: int
    num_bytes: int
    crc32: int
    deflated: bool


@dataclass(frozen=True)
class Archive:
    """An archive that has passed all checks, damage of its content included."""

    where: Path
    data: bytes
    entries: dict[str, Entry]

    @property
    def root(self) -> str:
        """The one folder that holds everything, with its slash; empty where there is none."""
        roots = {name.partition("/")[0] + "/" for name in self.entries}
        return roots.pop() if len(roots) == 1 and all("/" in name for name in self.entries) else ""

    def read(self, name: str) -> bytes:
        """Returns what an entry unpacks to; `name` is its whole path in the archive."""
        return b"".join(_unpacked(self.data, self.entries[name]))


class _Listed(NamedTuple):
    """What the directory says of an entry."""

    flags: int
    method: int
    crc32: int
    packed_bytes: int
    num_bytes: int
    raw_name: bytes
    attributes: int
    offset: int


def open_archive(data: bytes, where: Path) -> Archive:
    """Checks a zip archive from end to end.

    Args:
        data: The whole file.
        where: Its name, for messages.

    Raises:
        InputError: It is cut off, damaged, or packed in a way that is not read.
        RefusedError: It swells beyond the limits, or is not what every reader would see in it.
    """
    listed = _directory(data, where)
    _require_limits(listed, len(data), where)
    _require_names(listed, where)
    entries = _entries(data, listed, where)
    for entry in entries:
        _require_whole(data, entry, where)
    return Archive(where, data, {entry.name: entry for entry in entries if not entry.name.endswith("/")})


def _refused(where: Path, found: str) -> RefusedError:
    return RefusedError(f"refused {where}: {found}; its author can save it again with PyTorch itself")


def _directory(data: bytes, where: Path) -> list[_Listed]:
    start, end, count = _directory_place(data, where)
    if count > _MAX_ENTRIES:
        raise _refused(where, f"the archive has {count:,} entries, expected at most {_MAX_ENTRIES:,}")
    listed = []
    for _ in range(count):
        if start + _CENTRAL.size > end:
            raise _refused(where, f"the archive promises {count:,} entries and lists fewer")
        entry, start = _listed(data, start, where)
        listed.append(entry)
    if start != end or not listed:
        raise _refused(where, "the directory of the archive does not end where it says")
    return listed


def _directory_place(data: bytes, where: Path) -> tuple[int, int, int]:
    # From, to, and how many entries; the end of the archive must be the end of the file.
    end = len(data) - _END.size
    if end < 0 or data[end : end + 4] != _END_MAGIC:
        if _END_MAGIC in data:
            raise _refused(where, "there is more in the file than the archive, a comment or bytes behind its end")
        raise InputError(f"{where} is cut off: it begins as a zip archive and has no end; copy or download it again")
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(data, end)
    if disk or first_disk or comment or here != count:
        raise _refused(where, "the archive has several parts or a comment")
    if data[max(0, end - _LOCATOR.size) :].startswith(b"PK\x06\x07"):
        end = _long_end(data, end, (count, size, start), where)
    if start + size != end:
        raise _refused(where, "the directory of the archive is not where its end says")
    return start, end, count


def _long_end(data: bytes, end: int, expected: tuple[int, int, int], where: Path) -> int:
    # PyTorch always writes the 64-bit end too; in a file of this size it has to say the same.
    end -= _LOCATOR.size
    _, disk, offset, disks = _LOCATOR.unpack_from(data, end)
    record = end - _END_64.size
    if record < 0 or (disk, offset, disks) != (0, record, 1):
        raise _refused(where, "the 64-bit end of the archive is not where it says")
    magic, size, _, _, disk, first_disk, here, *numbers = _END_64.unpack_from(data, record)
    if (magic, size, disk, first_disk, here, *numbers) != (b"PK\x06\x06", 44, 0, 0, numbers[0], *expected):
        raise _refused(where, "the two ends of the archive contradict each other")
    return record


def _listed(data: bytes, start: int, where: Path) -> tuple[_Listed, int]:
    magic, _, _, flags, method, _, _, crc32, packed, size, name, extra, comment, disk, _, attributes, offset = (
        _CENTRAL.unpack_from(data, start)
    )
    if magic != b"PK\x01\x02" or comment or disk:
        raise _refused(where, "the directory of the archive holds something else than entries")
    names = start + _CENTRAL.size
    _require_extras(data[names + name : names + name + extra], where)
    raw_name = data[names : names + name]
    return _Listed(flags, method, crc32, packed, size, raw_name, attributes, offset), names + name + extra


def _require_extras(extras: bytes, where: Path) -> None:
    # Some extras change the name, the size or the packing of an entry, for the readers that know them.
    while extras:
        kind, size = struct.unpack_from("<2H", extras.ljust(4, b"\xff"))
        if kind not in _HARMLESS_EXTRAS or 4 + size > len(extras):
            raise _refused(where, f"an entry of the archive has an extra field of the kind {kind:#06x}")
        extras = extras[4 + size :]


def _require_limits(listed: list[_Listed], file_bytes: int, where: Path) -> None:
    unpacked = sum(entry.num_bytes for entry in listed)
    most = min(_MAX_UNPACKED_BYTES, max(_HARMLESS_BYTES, _MAX_EXPANSION * file_bytes))
    if unpacked > most:
        raise _refused(
            where, f"its {file_bytes:,} bytes would unpack to {unpacked:,}, expected at most {most:,} for such a file"
        )


def _require_names(listed: list[_Listed], where: Path) -> None:
    names = [_name(entry, where) for entry in listed]
    for entry, name in zip(listed, names, strict=True):
        _require_plain(entry, name, where)
    # Readers differ in whether A and a are one name.
    if len({name.rstrip("/").casefold() for name in names}) < len(names):
        raise _refused(where, "two entries of the archive have the same name")


def _name(entry: _Listed, where: Path) -> str:
    try:
        return entry.raw_name.decode("utf-8" if entry.flags & _UTF_8 else "ascii")
    except UnicodeDecodeError as error:
        raise _refused(where, f"the archive has an entry whose name is no text: {entry.raw_name[:40]!r}") from error


def _require_plain(entry: _Listed, name: str, where: Path) -> None:
    if _BAD_NAME.search(name):
        raise _refused(where, f"the archive has an entry with an unsafe name: {name[:80]!r}")
    if entry.flags & ~(_DESCRIBED_BEHIND | _UTF_8 | _DEFLATE_LEVEL):
        raise _refused(where, f"{name[:80]!r} in the archive is encrypted or patched")
    if stat.S_IFMT(entry.attributes >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise _refused(where, f"{name[:80]!r} in the archive is a link or a device")
    if name.endswith("/") and entry.num_bytes:
        raise _refused(where, f"{name[:80]!r} in the archive is a folder with content")
    if entry.method not in {_STORED, _DEFLATED}:
        raise InputError(f"cannot read {where}: {name[:80]!r} in it is neither stored nor deflated; save it again")
    if entry.method == _STORED and entry.packed_bytes != entry.num_bytes:
        raise _refused(where, f"{name[:80]!r} in the archive has two sizes")


def _entries(data: bytes, listed: list[_Listed], where: Path) -> list[Entry]:
    """Walks through the file from its first byte: each entry must begin where the one before it ends."""
    directory_start = _directory_place(data, where)[0]
    place, entries = 0, {}
    for entry in sorted(listed, key=lambda entry: entry.offset):
        if entry.offset != place:
            raise _refused(where, "entries of the archive overlap, or something is hidden between them")
        start = _data_start(data, entry, where)
        name = _name(entry, where)
        entries[entry.offset] = Entry(
            name, start, entry.packed_bytes, entry.num_bytes, entry.crc32, entry.method == _DEFLATED
        )
        place = _after(data, entry, start + entry.packed_bytes)
    if place != directory_start:
        raise _refused(where, "something is hidden between the entries of the archive and its directory")
    return [entries[entry.offset] for entry in listed]


def _data_start(data: bytes, entry: _Listed, where: Path) -> int:
    if data[entry.offset : entry.offset + 4] != ZIP_MAGIC or entry.offset + _LOCAL.size > len(data):
        raise _refused(where, "an entry of the archive is not where its directory says")
    _, _, flags, method, _, _, *sizes, name, extra = _LOCAL.unpack_from(data, entry.offset)
    names: int = entry.offset + _LOCAL.size
    said = (flags, method, data[names : names + name])
    known_here = not (flags & _DESCRIBED_BEHIND and sizes == [0, 0, 0])
    if said != (entry.flags, entry.method, entry.raw_name) or (known_here and tuple(sizes) != _sizes(entry)):
        raise _refused(where, f"an entry of the archive and its directory contradict each other: {entry.raw_name!r}")
    _require_extras(data[names + name : names + name + extra], where)
    return names + int(name) + int(extra)


def _sizes(entry: _Listed) -> tuple[int, int, int]:
    return entry.crc32, entry.packed_bytes, entry.num_bytes


def _after(data: bytes, entry: _Listed, end: int) -> int:
    # What stands behind an entry may repeat its sizes, in four spellings.
    if not entry.flags & _DESCRIBED_BEHIND:
        return end
    for spelling in ("<3L", "<L2Q"):
        repeated = struct.pack(spelling, *_sizes(entry))
        for descriptor in (b"PK\x07\x08" + repeated, repeated):
            if data[end : end + len(descriptor)] == descriptor:
                return end + len(descriptor)
    return end


def _require_whole(data: bytes, entry: Entry, where: Path) -> None:
    crc32 = size = 0
    try:
        for chunk in _unpacked(data, entry):
            crc32, size = zlib.crc32(chunk, crc32), size + len(chunk)
    except zlib.error:
        crc32 = ~entry.crc32
    if (crc32, size) != (entry.crc32, entry.num_bytes):
        raise InputError(f"{where} is damaged: {entry.name} in it is not what was written; copy it again")


def _unpacked(data: bytes, entry: Entry) -> Iterator[bytes]:
    """Gives an entry's bytes, never more than one beyond what its directory says."""
    packed = memoryview(data)[entry.start : entry.start + entry.packed_bytes]
    if not entry.deflated:
        yield bytes(packed)
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    left, rest = entry.num_bytes + 1, bytes(packed)
    while left and (chunk := inflate.decompress(rest, min(left, _CHUNK_BYTES))):
        left, rest = left - len(chunk), inflate.unconsumed_tail
        yield chunk
    if inflate.unused_data or not inflate.eof:
        raise zlib.error("more or less than one compressed stream")

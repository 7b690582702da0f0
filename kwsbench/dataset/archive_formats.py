"""What is in a stranger's archive: from the bytes on the disk to its members, front to back, counted as they come."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kwsbench.dataset.archive_members import FILE, FOLDER, Member, shortened
from kwsbench.dataset.disk import gigabytes
from kwsbench.dataset.download import is_html
from kwsbench.errors import InputError, Problem, RefusedError
from kwsbench.progress import Advance, progress

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Packing = Literal["zip", "gzip", "bzip2", "xz", "tar"]
"""How an archive is packed; all but `zip` and `tar` are a compressed tar."""

_CHUNK_BYTES = 2**20
_MAX_HEADER_BYTES = 2**20
_TAR_BLOCK_BYTES = 512
_ZIP_DIRECTORY_BYTES = 128  # for one member: a long name, time stamps, owner

_MAGIC: tuple[tuple[bytes, Packing], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)


class Allowance:
    """How many bytes may come out of an archive; those that came out are counted.

    Args:
        where: The archive, for messages.
        max_bytes: How many may come out in all.

    Attributes:
        left_bytes: How many more may come out.
    """

    def __init__(self, where: str, max_bytes: int) -> None:
        self._where = where
        self._max_bytes = max_bytes
        self.left_bytes = max_bytes

    def require(self, num_bytes: int, member: str) -> None:
        """Checks that `num_bytes` more may come out with `member`.

        Raises:
            RefusedError: They are too many.
        """
        if num_bytes > self.left_bytes:
            where = f"{self._where}, member {shortened(member)}" if member else self._where
            found = f"{self._max_bytes - self.left_bytes + num_bytes:,} bytes unpacked up to here"
            problem = Problem(where, found, f"at most {self._max_bytes:,} for an archive of this size")
            raise RefusedError(f"refused to unpack {self._where}: it swells too much; nothing of it is kept", [problem])

    def spend(self, num_bytes: int, member: str) -> None:
        """Counts bytes that came out. Raises as `require` does."""
        self.require(num_bytes, member)
        self.left_bytes -= num_bytes


def packing_of(archive: Path) -> Packing:
    """Returns how an archive is packed, told by its first bytes and not by its name.

    Raises:
        InputError: It cannot be read or is no archive; the problem says what it is.
    """
    try:
        with archive.open("rb") as handle:
            head = handle.read(_TAR_BLOCK_BYTES)
    except OSError as error:
        raise InputError(f"cannot read the archive {archive}: {error.strerror or error}") from error
    for magic, packing in _MAGIC:
        if head.startswith(magic):
            return packing
    if _is_tar_header(head):
        return "tar"
    raise damaged(archive, _description(head), "a zip or tar archive")


def _is_tar_header(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _description(head: bytes) -> str:
    if not head:
        return "an empty file"
    if not any(head):
        return "zeros"
    return "an HTML page" if is_html(head) else f"a file that begins with {head[:16]!r}"


def damaged(where: object, found: str, expected: str = "a whole archive") -> InputError:
    """Returns the error for an archive that cannot be read through."""
    return InputError(f"cannot unpack {where}", [Problem(str(where), found, expected, "delete it and fetch it again")])


@contextmanager
def _damage_named(where: object) -> Iterator[None]:
    """Turns whatever the decoders raise on damaged input into one error; leaves real trouble with the disk alone."""
    import lzma

    try:
        yield
    except EOFError as error:
        raise damaged(where, "its end too early") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise damaged(where, f"damage ({error})") from error
    except (
        *(lzma.LZMAError, struct.error, tarfile.TarError, zipfile.BadZipFile, zlib.error),
        *(NotImplementedError, OverflowError, RecursionError, ValueError),
    ) as error:
        raise damaged(where, f"damage ({error})") from error


@contextmanager
def opened(archive: Path, max_members: int) -> Iterator[io.BufferedReader]:
    """Opens an archive for one pass from front to back, with a progress bar."""
    total = archive.stat().st_size
    with (
        progress(f"unpacking {archive.name}", total, "bytes") as advance,
        _ArchiveFile(_CountedFile(archive, advance), _CHUNK_BYTES) as file,
    ):
        file.max_read_bytes = max(4 * _CHUNK_BYTES, _ZIP_DIRECTORY_BYTES * max_members)
        yield file


class _CountedFile(io.FileIO):
    def __init__(self, path: Path, advance: Advance) -> None:
        super().__init__(path)
        self._advance = advance

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = super().readinto(buffer) or 0
        self._advance(count)
        return count


class _ArchiveFile(io.BufferedReader):
    """The archive on disk; refuses a single read that no honest archive causes, a directory of gigabytes."""

    max_read_bytes: int

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.max_read_bytes:
            raise RefusedError(
                f"refused to unpack {self.name}: its directory alone has {gigabytes(size)}, "
                f"expected at most {gigabytes(self.max_read_bytes)}"
            )
        return super().read(size)


def zip_members(file: io.BufferedReader, where: str, allowance: Allowance) -> list[Member]:
    """Returns the members of a zip, in the order in which they lie in the file.

    Raises:
        InputError: Its directory is damaged.
    """
    with _damage_named(where):
        archive = zipfile.ZipFile(file)
        infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        return [
            Member(_zip_name(info), _zip_kind(info), info.file_size, partial(_zip_chunks, archive, info, allowance))
            for info in infos
        ]


def _zip_name(info: zipfile.ZipInfo) -> str:
    # zipfile cuts names at a NUL, so that an unsafe name would look like a safe one.
    return info.orig_filename if "\0" in info.orig_filename else info.filename


def _zip_kind(info: zipfile.ZipInfo) -> str:
    file_type = stat.S_IFMT(info.external_attr >> 16)
    if file_type == stat.S_IFLNK:
        return "a symbolic link"
    if file_type not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "a device or FIFO"
    if info.filename.endswith("/") or file_type == stat.S_IFDIR:
        return FOLDER
    if info.flag_bits & 1:
        return "an encrypted file"
    # A few bytes of bzip2 or LZMA give gigabytes in one step, which zipfile does not divide.
    return (
        FILE
        if info.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
        else "a file neither stored nor deflated"
    )


def _zip_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, allowance: Allowance) -> Iterator[bytes]:
    num_bytes = 0
    where = f"member {shortened(info.filename)}"
    with _damage_named(where), archive.open(info) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            allowance.spend(len(chunk), info.filename)
            num_bytes += len(chunk)
            yield chunk
    if num_bytes != info.file_size:
        raise damaged(where, f"{num_bytes:,} bytes", f"{info.file_size:,}, as its directory says")


def tar_members(file: io.BufferedReader, packing: Packing, where: str, allowance: Allowance) -> Iterator[Member]:
    """Gives the members of a tar one after the other; each must be read before the next, or not at all.

    Raises:
        InputError: The tar is damaged or cut short, be it in its last byte.
        RefusedError: More bytes come out than allowed, or a member claims so.
    """
    stream = _TarStream(_decompressed(file, packing), where, allowance)
    tar = _tar_file(stream, packing, where)
    info = tar.next()
    while info is not None:
        stream.member = info.name
        kind = _tar_kind(info)
        if kind == FILE:
            allowance.require(info.size, info.name)
        yield Member(info.name, kind, info.size, partial(stream.chunks, info.offset_data, info.size))
        info = _next_header(tar, stream, where)
    stream.drain()


def _decompressed(file: io.BufferedReader, packing: Packing) -> io.BufferedIOBase:
    import bz2
    import gzip
    import lzma

    if packing == "gzip":
        return gzip.GzipFile(fileobj=file)
    if packing == "bzip2":
        return bz2.BZ2File(file)
    return lzma.LZMAFile(file) if packing == "xz" else file


def _tar_file(stream: _TarStream, packing: Packing, where: str) -> tarfile.TarFile:
    try:
        with _damage_named(where):
            return tarfile.TarFile(fileobj=stream, encoding="utf-8")
    except InputError as error:
        if isinstance(error.__cause__, tarfile.ReadError):
            raise damaged(where, f"{packing} data that is no tar archive", "a tar archive") from error
        raise


def _next_header(tar: tarfile.TarFile, stream: _TarStream, where: str) -> tarfile.TarInfo | None:
    with _damage_named(where):
        stream.seek(tar.offset)
        stream.header_bytes = 0
        try:
            return tarfile.TarInfo.fromtarfile(tar)
        except tarfile.HeaderError as error:
            if not stream.last:
                raise EOFError from error
            if any(stream.last) or len(stream.last) < _TAR_BLOCK_BYTES:
                raise
            return None


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.issparse():
        return "a sparse file"
    kinds = ((info.isfile, FILE), (info.isdir, FOLDER), (info.issym, "a symbolic link"), (info.islnk, "a hard link"))
    other = "a device or FIFO" if info.isdev() else f"an entry of type {info.type!r}"
    return next((kind for is_kind, kind in kinds if is_kind()), other)


class _TarStream(io.BufferedIOBase):
    """A tar that can only be read forwards, as `tarfile` wants it for headers, and member by member for us."""

    def __init__(self, source: io.BufferedIOBase, where: str, allowance: Allowance) -> None:
        self._source = source
        self._where = where
        self._allowance = allowance
        self._position = 0
        self.member = ""
        self.header_bytes = 0
        self.last = b""

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads for `tarfile`, which keeps all that it reads in memory: a header, and its extensions."""
        if size is None or size < 0:
            raise tarfile.StreamError("a header of negative size")
        self.header_bytes += size
        if self.header_bytes > _MAX_HEADER_BYTES:
            raise tarfile.StreamError(f"a header of over {_MAX_HEADER_BYTES:,} bytes after {shortened(self.member)}")
        self.last = self._take(size)
        return self.last

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, _whence: int = io.SEEK_SET, /) -> int:
        if position < self._position:
            raise tarfile.StreamError(f"a header that leads backwards after {shortened(self.member)}")
        while self._position < position:
            if not self._take(min(_CHUNK_BYTES, position - self._position)):
                raise EOFError
        return self._position

    def chunks(self, position: int, num_bytes: int) -> Iterator[bytes]:
        """Gives `num_bytes` bytes from `position` on, a piece at a time."""
        with _damage_named(self._where):
            self.seek(position)
            end = position + num_bytes
            while self._position < end:
                chunk = self._take(min(_CHUNK_BYTES, end - self._position))
                if not chunk:
                    raise EOFError
                yield chunk

    def drain(self) -> None:
        """Reads to the very end, where the checksums are."""
        while self._take(_CHUNK_BYTES):
            pass

    def _take(self, size: int) -> bytes:
        with _damage_named(self._where):
            data = self._source.read(size)
        self._position += len(data)
        self._allowance.spend(len(data), self.member)
        return data

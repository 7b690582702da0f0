"""Gets an archive from the network, or checks one that a person put there: the right bytes or none.

A download goes to `<file>.part` beside its target and takes the target's name when size and checksum are right.
What has arrived is kept when the connection drops or the user stops it, and the next run asks for the rest.
Where nobody published a checksum, the first download's is kept in `<file>.sha256` and holds from then on.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kwsbench.dataset.disk import cannot_write, sole_owner
from kwsbench.dataset.download import Download, is_html, notes_of
from kwsbench.errors import CheckFailedError, InputError, Problem
from kwsbench.files import replacing, sha256_of_file

_HEAD_BYTES = 512


def wait_before_retry(attempt: int) -> None:
    """Sleeps 0.5 s before the first retry, twice as long before each further one, 8 s at most."""
    time.sleep(min(0.5 * 2 ** (attempt - 1), 8.0))


def fetch(  # noqa: PLR0913 - what to fetch, what it must be, and how often to try
    url: str,
    target: Path,
    *,
    num_bytes: int | None = None,
    sha256: str | None = None,
    retries: int = 5,
    wait: Callable[[int], None] = wait_before_retry,
) -> str:
    """Downloads a file unless it is there already; resumes what an earlier run began.

    Args:
        url: Its address, http or https.
        target: Where to put it; the folder is made.
        num_bytes: Its size, where known.
        sha256: Its checksum in hexadecimal digits; where not known, the one recorded at the first download holds.
        retries: How many failures in a row are retried; one that came after a mebibyte of progress counts as the
            first.
        wait: Called with 1, 2, ... before each retry.

    Returns:
        The SHA-256 of the file.

    Raises:
        InputError: The address is unusable, server or network fail, something else than data comes, the disk is
            full or not writable, or another process fetches the same file. What has arrived is kept.
        CheckFailedError: The file has another size or checksum than expected. It never gets the target's name; a
            file with a wrong checksum is kept as `<file>.bad`.
    """
    _check_address(url)
    wanted = _Wanted(target, num_bytes, sha256)
    try:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with _own_part(wanted) as handle:
                # Another process may have finished it while we came here.
                if not target.exists():
                    download = Download(url, wanted.part, handle, num_bytes, has_checksum=bool(wanted.checksum()))
                    download.run(retries, wait)
                    digest = _settled(wanted.part, wanted)
                    wanted.part.replace(target)
                    return digest
        return _settled(target, wanted)
    except OSError as error:
        raise cannot_write(f"cannot fetch {target}", error, "what has arrived is kept") from error


def check_file(target: Path, num_bytes: int | None = None, sha256: str | None = None) -> str:
    """Checks a file that is there already, such as an archive that a person got by hand; changes nothing.

    Args:
        target: The file.
        num_bytes: Its size, where known.
        sha256: Its checksum, where known; else the one recorded by `fetch` holds, where there is one.

    Returns:
        The SHA-256 of the file.

    Raises:
        InputError: It is missing or cannot be read.
        CheckFailedError: It has another size or checksum, or is an HTML page.
    """
    try:
        digest = sha256_of_file(target)
        problems = list(_problems(target, digest, _Wanted(target, num_bytes, sha256)))
    except OSError as error:
        raise InputError(f"cannot read {target}: {error.strerror or error}") from error
    if problems:
        raise CheckFailedError(f"{target} is not the expected file", problems)
    return digest


def recorded_sha256(target: Path) -> str | None:
    """Returns the checksum that was recorded when `target` was first downloaded; None where there is none.

    Raises:
        InputError: The record is damaged.
    """
    record = _Wanted(target).record
    try:
        text = record.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None
    match = re.fullmatch(r"([0-9a-f]{64})(  .*)?\n?", text)
    if match is None:
        remedy = "delete it to take the checksum of the file as it is now"
        raise InputError(
            f"cannot read {record}", [Problem(str(record), repr(text[:80]), "64 hexadecimal digits", remedy)]
        )
    return match[1]


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise InputError(f"cannot fetch {url!r}: an address begins with http:// or https:// and names a host")


@dataclass(frozen=True)
class _Wanted:
    """The file that there shall be, and the names of the files beside it."""

    target: Path
    num_bytes: int | None = None
    sha256: str | None = None

    @property
    def part(self) -> Path:
        return self._beside("part")

    @property
    def record(self) -> Path:
        return self._beside("sha256")

    @property
    def bad(self) -> Path:
        return self._beside("bad")

    def checksum(self) -> str | None:
        return self.sha256.lower() if self.sha256 else recorded_sha256(self.target)

    def _beside(self, ending: str) -> Path:
        return self.target.with_name(f"{self.target.name}.{ending}")


@contextmanager
def _own_part(wanted: _Wanted) -> Iterator[int]:
    busy = f"cannot fetch {wanted.target}: another fetch of it is running; wait for it"
    with sole_owner(wanted.part, busy) as handle:
        try:
            yield handle
        finally:
            if os.fstat(handle).st_size == 0:
                wanted.part.unlink(missing_ok=True)
            if not wanted.part.exists():
                notes_of(wanted.part).unlink(missing_ok=True)


def _settled(file: Path, wanted: _Wanted) -> str:
    """Returns the checksum of a file that is as wanted, and records it where none was known; else puts it aside."""
    if file.is_dir():
        raise InputError(f"cannot fetch {file}: it is a folder; name a file")
    digest = sha256_of_file(file)
    problems = list(_problems(file, digest, wanted))
    if problems:
        file.replace(wanted.bad)
        message = f"{wanted.target} is not the expected file; what came is now called {wanted.bad.name}"
        raise CheckFailedError(message, problems)
    if wanted.checksum() is None:
        with replacing(wanted.record) as temporary:
            temporary.write_text(f"{digest}  {wanted.target.name}\n", encoding="utf-8")
    return digest


def _problems(file: Path, digest: str, wanted: _Wanted) -> Iterator[Problem]:
    with file.open("rb") as handle:
        if is_html(handle.read(_HEAD_BYTES)):
            yield Problem(str(file), "an HTML page", "an archive", "get it again, from where it can be downloaded")
    size = file.stat().st_size
    if wanted.num_bytes is not None and size != wanted.num_bytes:
        yield Problem(str(file), f"{size:,} bytes", f"{wanted.num_bytes:,}", "get it again")
    checksum = wanted.checksum()
    if checksum is not None and digest != checksum:
        remedy = "get it again; if it comes out the same, the publisher has changed the file"
        if wanted.sha256 is None:
            remedy += f" (delete {wanted.record.name} to accept it)"
        yield Problem(str(file), f"SHA-256 {digest}", f"SHA-256 {checksum}", remedy)

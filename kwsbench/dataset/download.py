"""Transfers one file over HTTP into an open `.part` file: resumes, retries, and takes nothing but data.

What the part belongs to (address, ETag, date, size) is kept beside it in `<file>.part.json`; the rest is asked for
with `Range` and `If-Range` (RFC 9110, sections 13.1.5 and 14), so that two versions are never mixed.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from kwsbench.dataset.disk import cannot_write, require_free_space
from kwsbench.errors import CheckFailedError, InputError, Problem
from kwsbench.files import replacing
from kwsbench.progress import Advance, progress

if TYPE_CHECKING:
    from requests import Response

_PIECE_BYTES = 2**16
_HEAD_BYTES = 512
_PROGRESS_BYTES = 2**20
_TIMEOUT_S = (15.0, 60.0)  # to connect, and without a byte
_MAY_PASS = {408, 429, 500, 502, 503, 504}
_NO_NETWORK = {errno.ENETUNREACH, errno.EHOSTUNREACH}
_HTML_TYPES = {"text/html", "application/xhtml+xml"}
_HTML = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|title|meta|script)\b",
    re.IGNORECASE | re.DOTALL,
)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_REMEDIES = {
    401: "it needs a login",
    403: "it needs a login, or it is not open to your network",
    404: "check the address",
    407: "the proxy needs a login: give it in HTTPS_PROXY and HTTP_PROXY",
    410: "it is gone for good: look for a new address",
}


def is_html(head: bytes) -> bool:
    """Returns whether a file that begins with `head` is an HTML page."""
    return _HTML.match(head[:_HEAD_BYTES]) is not None


class _DroppedError(Exception):
    """The transfer failed in a way that trying again may cure."""


class _Version(BaseModel):
    """The version of the file on the server that a part belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    url: str
    etag: str
    last_modified: str
    num_bytes: int | None

    @classmethod
    def of(cls, url: str, response: Response, num_bytes: int | None) -> Self:
        headers = response.headers
        return cls(
            url=url,
            etag=headers.get("ETag", ""),
            last_modified=headers.get("Last-Modified", ""),
            num_bytes=num_bytes,
        )

    @property
    def validator(self) -> str:
        """What `If-Range` may hold: a weak ETag says too little about bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


class Download:
    """One file on its way into an open part file.

    Args:
        url: Its address.
        part: Path of the part file, for its notes and for messages.
        handle: The part file, open for writing; what it holds already is resumed where that is safe.
        num_bytes: Size of the whole file, where known.
        has_checksum: A checksum is known, so that a part may be resumed even if the server names no version.
    """

    def __init__(self, url: str, part: Path, handle: int, num_bytes: int | None, *, has_checksum: bool) -> None:
        self._url = url
        self._part = part
        self._handle = handle
        self._num_bytes = num_bytes
        self._has_checksum = has_checksum
        self._position = os.fstat(handle).st_size
        self._version = _read_version(notes_of(part))
        self._may_resume = True
        self._has_received = False
        self._advance: Advance = lambda _count: None

    def run(self, retries: int, wait: Callable[[int], None]) -> None:
        """Transfers what is missing; `wait` is called with 1, 2, ... before each of the `retries`.

        Raises:
            InputError: Server, network or disk failed; what has arrived is kept.
            CheckFailedError: The server's file has another size than expected.
        """
        total = self._total()
        if total is not None:
            require_free_space(self._part.parent, total - self._position, f"cannot fetch {self._url}")
        with progress(f"fetching {self._part.stem}", total, "bytes") as self._advance:
            self._advance(self._position)
            self._retried(retries, wait)
        os.fsync(self._handle)

    def _retried(self, retries: int, wait: Callable[[int], None]) -> None:
        failures = 0
        while not self._is_complete():
            before = self._position
            try:
                return self._attempt()
            except _DroppedError as drop:
                failures = 1 if self._position - before >= _PROGRESS_BYTES else failures + 1
                if failures > retries:
                    self._fail(str(drop), "try again later")
                wait(failures)
        return None

    def _fail(self, reason: str, remedy: str) -> NoReturn:
        total = self._total()
        if self._can_resume():
            remedy = f"{remedy}; the bytes are kept in {self._part.name}, and the next run resumes there"
        found = f"{self._position:,} bytes" if self._position else "nothing"
        expected = f"{total:,} bytes" if total is not None else "the whole file"
        raise InputError(f"cannot fetch {self._url}: {reason}", [Problem(str(self._part), found, expected, remedy)])

    def _total(self) -> int | None:
        if self._num_bytes is None and self._version is not None and self._version.url == self._url:
            return self._version.num_bytes
        return self._num_bytes

    def _is_complete(self) -> bool:
        return self._may_resume and 0 < self._position == self._total()

    def _can_resume(self) -> bool:
        version, total = self._version, self._total()
        if not self._may_resume or version is None or version.url != self._url:
            return False
        return 0 < self._position < (total or self._position + 1) and bool(version.validator or self._has_checksum)

    def _attempt(self) -> None:
        import requests

        headers = {"Accept-Encoding": "identity"}
        resumes = self._can_resume()
        if resumes and self._version is not None:
            headers["Range"] = f"bytes={self._position}-"
            if self._version.validator:
                headers["If-Range"] = self._version.validator
        try:
            response = requests.get(self._url, headers=headers, stream=True, timeout=_TIMEOUT_S)
        except OSError as error:  # the base of all that requests raises
            self._not_reached(error)
        with response:
            self._receive(response)

    def _not_reached(self, error: OSError) -> NoReturn:
        reason, may_pass = _why_not_reached(self._url, error)
        if may_pass or self._has_received:
            raise _DroppedError(reason) from error
        self._fail(reason, "then run it again")

    def _receive(self, response: Response) -> None:
        self._check_status(response)
        pieces = _pieces(response)
        first = next(pieces, b"")
        self._check_is_data(response, first)
        start, total = _range_of(response)
        if start and (start != self._position or not self._is_same_version(response, total)):
            self._may_resume = False
            raise _DroppedError("the server answers with another part of the file than asked for")
        self._check_total(total)
        if start == 0:
            self._start_anew(_Version.of(self._url, response, total))
        os.lseek(self._handle, start, os.SEEK_SET)
        for piece in itertools.chain([first], pieces):
            self._write(piece)
        self._check_end(total)

    def _check_status(self, response: Response) -> None:
        status = response.status_code
        if status in {200, 206}:
            return
        reason = f"HTTP {status} {response.reason}".rstrip()
        if status == 416:
            self._may_resume = False
            raise _DroppedError(reason)
        if status in _MAY_PASS:
            raise _DroppedError(reason)
        via = f" from {response.url}" if response.url != self._url else ""
        self._fail(reason + via, _REMEDIES.get(status, "check the address"))

    def _check_is_data(self, response: Response, first: bytes) -> None:
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if content_type in _HTML_TYPES or is_html(first):
            self._fail(
                "an HTML page came instead of the file",
                "open the address in a browser: a login, a network's welcome page or a proxy may be in the way",
            )

    def _is_same_version(self, response: Response, total: int | None) -> bool:
        version, etag = self._version, response.headers.get("ETag", "")
        if version is None or (etag and etag != version.etag):
            return False
        return total is None or version.num_bytes is None or total == version.num_bytes

    def _check_total(self, total: int | None) -> None:
        if total is None:
            return
        if self._num_bytes is not None and total != self._num_bytes:
            problem = Problem(self._url, f"{total:,} bytes", f"{self._num_bytes:,}", "check the address")
            raise CheckFailedError(f"cannot fetch {self._url}: its size is not the expected one", [problem])
        require_free_space(self._part.parent, total - self._position, f"cannot fetch {self._url}")

    def _start_anew(self, version: _Version) -> None:
        os.ftruncate(self._handle, 0)
        self._advance(-self._position)
        self._position = 0
        self._may_resume = True
        self._version = version
        with replacing(notes_of(self._part)) as temporary:
            temporary.write_text(version.model_dump_json(), encoding="utf-8")

    def _write(self, piece: bytes) -> None:
        if self._num_bytes is not None and self._position + len(piece) > self._num_bytes:
            os.ftruncate(self._handle, 0)
            problem = Problem(self._url, "more bytes", f"{self._num_bytes:,}", "check the address")
            raise CheckFailedError(f"cannot fetch {self._url}: its size is not the expected one", [problem])
        self._has_received = True
        view = memoryview(piece)
        try:
            while view:
                written = os.write(self._handle, view)
                view = view[written:]
                self._position += written
                self._advance(written)
        except OSError as error:
            kept = f"{self._position:,} bytes are kept in {self._part}, and the next run resumes there"
            raise cannot_write(f"cannot fetch {self._url}", error, kept) from error

    def _check_end(self, total: int | None) -> None:
        expected = total if self._num_bytes is None else self._num_bytes
        if self._position == 0:
            raise _DroppedError("the answer is empty")
        if expected is not None and self._position < expected:
            raise _DroppedError("the connection ended too early")


def notes_of(part: Path) -> Path:
    """Returns where it is written down which version of the file a part belongs to."""
    return part.with_name(f"{part.name}.json")


def _read_version(notes: Path) -> _Version | None:
    with contextlib.suppress(OSError, ValidationError):
        return _Version.model_validate_json(notes.read_bytes())
    return None


def _pieces(response: Response) -> Iterator[bytes]:
    """The bytes as they are on the server: requests would unpack a gzip on the way."""
    import urllib3

    try:
        yield from response.raw.stream(_PIECE_BYTES, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _DroppedError("the connection was dropped") from error


def _range_of(response: Response) -> tuple[int, int | None]:
    """Where the answer begins in the file, and how long the whole file is, where the server says so."""
    if response.status_code == 206:
        match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if match is None:
            raise _DroppedError("the server does not say which part of the file it sends")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _why_not_reached(url: str, error: OSError) -> tuple[str, bool]:
    """Why no answer came, in words, and whether the next try may go better."""
    from requests import exceptions

    request = getattr(error, "request", None)
    host = urlsplit(request.url if request is not None else url).hostname
    causes = list(_causes(error))
    numbers = {cause.errno for cause in causes if isinstance(cause, OSError)}
    no_host = any(isinstance(cause, socket.gaierror) for cause in causes)
    not_secure = f"no secure connection to {host} ({causes[-1]}): check the clock, or set REQUESTS_CA_BUNDLE"
    cases = (
        (isinstance(error, exceptions.ProxyError), "no way through the proxy: check HTTPS_PROXY and HTTP_PROXY", False),
        (isinstance(error, exceptions.SSLError), not_secure, False),
        (no_host, f"the host {host} is not found: check the network and the address", False),
        (errno.ECONNREFUSED in numbers, f"{host} refuses the connection: check the address, or try later", False),
        (bool(numbers & _NO_NETWORK), f"there is no way to {host}: check the network", False),
        (isinstance(error, exceptions.Timeout), f"{host} does not answer", True),
        (isinstance(error, exceptions.ConnectionError), f"{host} drops the connection", True),
    )
    return next(((text, may_pass) for holds, text, may_pass in cases if holds), (str(error), False))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

"""A local preview: shows a site on this machine alone, and builds it again when something that it is made from changes."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kwsbench.errors import InputError, KwsbenchError

HOST = "127.0.0.1"
POLL_S = 0.5
_LOCAL_NAMES = frozenset({HOST, "localhost"})

Stamp = tuple[str, int, int]


def serve(
    build: Callable[[], object],
    folder: Path,
    watched: Iterable[Path],
    *,
    port: int = 8000,
    say: Callable[[str], None] = print,
) -> None:
    """Builds a site, shows it at `http://127.0.0.1:PORT/`, and builds it again after each change, until Ctrl-C.

    A build that fails is told, and the site that was there stays.

    Args:
        build: Builds the site into `folder`; raises KwsbenchError where it cannot.
        folder: The site.
        watched: Files and folders that it is made from.
        port: Where; 0 takes one that is free.
        say: Called with what happens.

    Raises:
        InputError: The port is in use, or cannot be used.
        KwsbenchError: The first build fails.
    """
    paths = tuple(watched)
    try:
        before = stamps(paths)
        build()
        with serving(folder, port) as address:
            say(f"serving {folder} at {address} (Ctrl-C ends it)")
            while True:
                time.sleep(POLL_S)
                before = rebuilt_if_changed(build, paths, before, say)
    except KeyboardInterrupt:
        say("stopped")


def rebuilt_if_changed(
    build: Callable[[], object], paths: Iterable[Path], before: frozenset[Stamp], say: Callable[[str], None]
) -> frozenset[Stamp]:
    """Builds again where the files are not what they were; returns what they are now."""
    now = stamps(paths)
    if now == before:
        return before
    started = time.monotonic()
    try:
        build()
        say(f"built again in {time.monotonic() - started:.1f} s")
    except KwsbenchError as error:
        say(f"the site stays as it was: {error}")
    return now


def stamps(paths: Iterable[Path]) -> frozenset[Stamp]:
    """Returns name, size and time of every file in `paths`; hidden ones are left out."""
    return frozenset(stamp for path in paths for file in _files_in(path) for stamp in _stamp(file))


def _files_in(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for file in path.rglob("*"):
        if not any(part.startswith(".") for part in file.relative_to(path).parts):
            yield file


def _stamp(file: Path) -> Iterator[Stamp]:
    try:
        info = file.stat()
    except OSError:  # it went away in between
        return
    yield str(file), info.st_size, info.st_mtime_ns


@contextmanager
def serving(folder: Path, port: int) -> Iterator[str]:
    """Serves a folder to this machine alone while the block runs; gives the address.

    Raises:
        InputError: The port is in use, or cannot be used.
    """
    try:
        server = ThreadingHTTPServer((HOST, port), partial(_Handler, directory=str(folder)))
    except (OSError, OverflowError) as error:
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "it is in use; choose another one with --port" if in_use else str(error).lower()
        raise InputError(f"cannot serve at port {port}: {reason}") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(SimpleHTTPRequestHandler):
    """Files of the site, never stale, and to nobody who comes here by another name."""

    def log_message(self, *_: Any) -> None:
        """Says nothing of every file."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def send_head(self) -> Any:
        """Refuses a page of another site that has pointed its name to this machine."""
        name = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if name not in _LOCAL_NAMES:
            self.send_error(403, "this preview is for this machine alone")
            return None
        return super().send_head()

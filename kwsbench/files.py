"""Files written whole or not at all, and their hashes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kwsbench.errors import InputError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Gives a temporary path beside `target`; renames it to `target` when the block succeeds.

    A block that fails, or a process that is killed, leaves the old file as it was.

    Raises:
        InputError: The folder cannot be made or written to, or the disk is full.
    """
    with replacing_all() as stage:
        yield stage(target)


@contextmanager
def replacing_all() -> Iterator[StagedFiles]:
    """Like `replacing` for several files: none is renamed before all of them are written whole.

    Yields:
        A function from a target path to the temporary path to write to.

    Raises:
        InputError: A folder cannot be made or written to, or the disk is full.
    """
    stage = StagedFiles()
    try:
        yield stage
        stage.commit()
    except OSError as error:
        if error.filename is not None and str(error.filename) not in stage.names:
            raise
        target = stage.target_of(error.filename)
        raise InputError(
            f"cannot write {target}: {error.strerror or error}; what was there before is unchanged"
        ) from error
    finally:
        stage.discard()


class StagedFiles:
    """Temporary files on their way to their final names; see `replacing_all`."""

    def __init__(self) -> None:
        self._staged: dict[Path, Path] = {}

    @property
    def names(self) -> set[str]:
        """Every path, temporary or final or a folder of those, that this stage touches."""
        paths = {*self._staged, *self._staged.values()}
        return {str(path) for path in paths | {parent for path in paths for parent in path.parents}}

    def __call__(self, target: Path) -> Path:
        """Returns the temporary path to write what shall become `target`.

        Raises:
            InputError: `target` is a folder or a device, which no file can take the place of.
        """
        place = _behind_links(target)
        temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
        self._staged[target] = temporary
        check_replaceable(target)
        place.parent.mkdir(parents=True, exist_ok=True)
        return temporary

    def target_of(self, name: str | bytes | int | None) -> Path | str:
        """Returns the final path for the name that an `OSError` carries, or the last one staged."""
        for target, temporary in self._staged.items():
            if str(temporary) == str(name):
                return target
        return str(name) if name is not None else next(reversed(self._staged), "the output")

    def commit(self) -> None:
        """Flushes every temporary file to disk and renames it to its target."""
        for temporary in self._staged.values():
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
        for target, temporary in self._staged.items():
            temporary.replace(_behind_links(target))

    def discard(self) -> None:
        """Removes the temporary files that are still there."""
        for temporary in self._staged.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def check_replaceable(target: Path) -> None:
    """Raises InputError where `target` is a folder or a device, which no file can take the place of."""
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "a device or pipe"
        raise InputError(f"cannot write {target}: it is {kind}; name a file")


def _behind_links(path: Path) -> Path:
    # A link that leads to the file stays a link.
    return Path(os.path.realpath(path))


def sha256_of_file(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()

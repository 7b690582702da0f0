"""The folder of an entry: which files it may hold, how large they may be, and what names its content."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kwsbench.errors import InputError, Problem, ProblemLog, reason_of
from kwsbench.submission.names import FILE_NAME, quoted

FORM = "submission.toml"
"""The file of an entry that says what it is."""

PICTURES = "pictures"
"""The folder of an entry that may hold pictures for its report."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

MAX_FORM_BYTES = 64 << 10
MAX_MODEL_BYTES = 100 << 20
MAX_DEFINITION_BYTES = 1 << 20
MAX_PREDICTIONS_BYTES = 64 << 20
MAX_REPORT_BYTES = 64 << 10  # ten thousand words; reading Markdown that means harm takes seconds for as much
MAX_PICTURE_BYTES = 2 << 20
MAX_PICTURES = 20

_MAX_FILES = 1_000  # more are not even listed
_CHUNK_BYTES = 1 << 20
_SHA256_DIGITS = 64
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True)
class FoundFile:
    """Something that lies in the folder of an entry.

    Attributes:
        name: Its path in the folder, with forward slashes.
        kind: `a file`, or in words whatever else it is, such as `a link`.
        num_bytes: Its size.
    """

    name: str
    kind: str
    num_bytes: int


def find_submissions(root: Path) -> list[Path]:
    """Returns every folder `<team>/<entry>` below `root`, sorted, whatever it holds and whatever it is called.

    Names that begin with a dot are left out: they are temporary or hidden. A link to a folder is among the result, so
    that it can be rejected with a reason.

    Raises:
        InputError: `root` is no folder, or cannot be listed.
    """
    if not root.is_dir():
        raise InputError(f"there are no submissions at {root}: it is no folder; name it with --submissions")
    return sorted(entry for team in _folders_in(root) for entry in _folders_in(team))


def _folders_in(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__pycache__"))]
    except OSError as error:
        raise InputError(f"cannot list the folder {folder}: {reason_of(error)}") from error


def files_of(folder: Path) -> list[FoundFile]:
    """Returns everything in the folder of an entry that is no folder itself, sorted by name; links are not followed.

    Raises:
        InputError: It cannot be listed, or holds more than a thousand files.
    """
    found: list[FoundFile] = []
    for parent, folders, names in os.walk(folder, onerror=_cannot_list):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        found += [_look_at(Path(parent, name), folder) for name in (*names, *links)]
        if len(found) > _MAX_FILES:
            raise InputError(f"{folder} holds more than {_MAX_FILES:,} files; an entry is a model, two texts, pictures")
    return sorted(found, key=lambda file: file.name)


def _cannot_list(error: OSError) -> None:
    raise InputError(f"cannot list the folder {error.filename}: {reason_of(error)}") from error


def _look_at(path: Path, folder: Path) -> FoundFile:
    try:
        info = path.lstat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}") from error
    kinds = ((stat.S_ISREG, "a file"), (stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    kind = next((kind for is_kind, kind in kinds if is_kind(info.st_mode)), "a device")
    return FoundFile(path.relative_to(folder).as_posix(), kind, info.st_size)


def content_sha256(folder: Path) -> str:
    """Returns a hash of all files of an entry by name and content: what was judged, and the key of what came out.

    Raises:
        InputError: A file cannot be read, or there are too many.
    """
    return content_of(hashes_of(folder))


def hashes_of(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file of an entry by its name, sorted.

    Links, devices and files that are too large for an entry are never opened; what they are stands for their hash.

    Raises:
        InputError: A file cannot be read, or there are too many.
    """
    hashes = {}
    for file in files_of(folder):
        readable = file.kind == "a file" and file.num_bytes <= MAX_MODEL_BYTES
        path = folder / file.name
        hashes[file.name] = sha256_of_regular(path) if readable else f"{file.kind} of {file.num_bytes} bytes"
    return hashes


def is_sha256(said: str) -> bool:
    """Returns whether this is what `hashes_of` says of a file that was read, and not what it is instead."""
    return len(said) == _SHA256_DIGITS


def content_of(hashes: Mapping[str, str]) -> str:
    """Returns one hash for the files of an entry, whose names and hashes are given."""
    total = hashlib.sha256()
    for name, content in hashes.items():
        for part in (os.fsencode(name), content.encode()):
            total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()


def sha256_of_regular(path: Path) -> str:
    """Returns the SHA-256 of a regular file that is no link. Raises InputError where it cannot be read."""
    digest = hashlib.sha256()
    for chunk in _chunks(path, MAX_MODEL_BYTES + _CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Reads a regular file that is no link, whole.

    Raises:
        InputError: It is missing, something else, larger than `max_bytes`, or cannot be read.
    """
    data = b"".join(_chunks(path, max_bytes + 1))
    if len(data) > max_bytes:
        raise InputError(f"{path} has over {max_bytes:,} bytes, which is the most that is read of it")
    return data


def _chunks(path: Path, most: int) -> Iterator[bytes]:
    try:
        with open(os.open(path, _FLAGS), "rb", buffering=0) as handle:  # noqa: PTH123 - a descriptor
            if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
                raise InputError(f"cannot read {path}: it is no regular file")
            while most > 0 and (chunk := handle.read(min(most, _CHUNK_BYTES))):
                most -= len(chunk)
                yield chunk
    except (OSError, ValueError) as error:
        reason = "it is a link" if path.is_symlink() else reason_of(error)
        raise InputError(f"cannot read {path}: {reason}") from error


def inventory_problems(folder: Path, files: Mapping[str, str]) -> list[Problem]:
    """Returns what is wrong with the files of an entry: too many, too large, links, or none that an entry has.

    Args:
        folder: The folder of the entry.
        files: `model`, `predictions`, `report` and, if there is one, `definition`, and what each is called.
    """
    log = ProblemLog()
    found = files_of(folder)
    most_bytes = _most_bytes(files)
    num_pictures = sum(is_picture(file.name) for file in found)
    if num_pictures > MAX_PICTURES:
        log.add("many", Problem(str(folder), f"{num_pictures:,} pictures", f"at most {MAX_PICTURES}", "remove some"))
    for file in found:
        where, most = f"{folder}/{file.name}", most_bytes.get(file.name, MAX_PICTURE_BYTES)
        if file.name not in most_bytes and not is_picture(file.name):
            expected = f"{', '.join(most_bytes)} and pictures ({', '.join(PICTURE_SUFFIXES)})"
            log.add("strange", Problem(where, "a file that no entry has", expected, "remove it"))
        elif file.kind != "a file":
            log.add("kind", Problem(where, file.kind, "a regular file", "put a copy of the file itself there"))
        elif file.num_bytes > most:
            log.add("size", Problem(where, f"{file.num_bytes:,} bytes", f"at most {most:,}", "make it smaller"))
    names = {file.name for file in found}
    for name in most_bytes:
        if name not in names:
            log.add("missing", Problem(f"{folder}/{name}", "no such file", "the file that the form names", "add it"))
    return log.problems()


def _most_bytes(files: Mapping[str, str]) -> dict[str, int]:
    return {
        FORM: MAX_FORM_BYTES,
        files["model"]: MAX_MODEL_BYTES,
        files["predictions"]: MAX_PREDICTIONS_BYTES,
        files["report"]: MAX_REPORT_BYTES,
        **({files["definition"]: MAX_DEFINITION_BYTES} if "definition" in files else {}),
    }


def is_picture(name: str) -> bool:
    """Whether a file of this name may be a picture of a report: in the folder itself, or in `pictures/`."""
    return re.fullmatch(rf"(?:{PICTURES}/)?{FILE_NAME}", name) is not None and name.lower().endswith(PICTURE_SUFFIXES)


def name_problem(name: str, where: str) -> Problem | None:
    """Returns what is wrong with the name of a file of an entry; None where nothing is."""
    if re.fullmatch(FILE_NAME, name):
        return None
    return Problem(where, quoted(name), "a plain file name: letters, digits, . - and _, at most 100", "rename the file")

"""Unpacks archives of strangers: whole or not at all, never outside the folder, never more than is allowed.

An archive is read once, from front to back. Every member is looked at before it is written
(`kwsbench.dataset.archive_members` says what is accepted), what comes out is counted as it comes out, and the
folder appears under its name only when everything in it is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kwsbench.dataset.archive_formats import Allowance, damaged, opened, packing_of, tar_members, zip_members
from kwsbench.dataset.archive_members import FOLDER, Member, MemberCheck
from kwsbench.dataset.disk import cannot_write, require_free_space
from kwsbench.dataset.whole_folder import replacing_folder
from kwsbench.errors import InputError, KwsbenchError, Problem, did_you_mean

_Step = tuple[Member, tuple[str, ...]]


@dataclass(frozen=True)
class UnpackLimits:
    """How much an archive may hold.

    Attributes:
        max_ratio: It may unpack to this many times its own size ...
        floor_bytes: ... or to this many bytes, whichever is more.
        max_members: How many files and folders it may have.
    """

    max_ratio: int = 20
    floor_bytes: int = 64 * 2**20
    max_members: int = 1_000_000

    def max_bytes(self, archive_bytes: int) -> int:
        """Returns how many bytes an archive of `archive_bytes` may unpack to."""
        return max(self.floor_bytes, self.max_ratio * archive_bytes)


DEFAULT_LIMITS = UnpackLimits()


def unpack(
    archive: Path, destination: Path, *, inner_folder: str | None = None, limits: UnpackLimits = DEFAULT_LIMITS
) -> int:
    """Unpacks an archive into a folder, which takes the place of what is at `destination` when everything is there.

    Zip (stored or deflated) and tar, plain or compressed with gzip, bzip2 or xz, are told by their content. Files
    get mode 0644 less the umask and belong to the caller. What a Mac adds to its zips is left out.

    Args:
        archive: The file to unpack; nothing in it is trusted.
        destination: The folder to make or replace.
        inner_folder: Folder inside the archive; only what is below it is kept, and its name is left out.
        limits: How much the archive may hold.

    Returns:
        The number of files written.

    Raises:
        InputError: The archive is missing, damaged, no archive, holds no file or not `inner_folder`; or the
            destination cannot be written, or the disk is full. `destination` is as it was.
        RefusedError: A member is unsafe, or there are too many bytes or members; the problems name the members.
            `destination` is as it was.
    """
    packing = packing_of(archive)
    _check_destination(archive, destination)
    archive_bytes = archive.stat().st_size
    check = MemberCheck(str(archive), limits.max_members)
    allowance = Allowance(str(archive), limits.max_bytes(archive_bytes))
    with replacing_folder(destination) as folder, opened(archive, limits.max_members) as file:
        require_free_space(folder, archive_bytes, f"cannot unpack {archive}")
        try:
            if packing == "zip":
                steps: Iterable[_Step] = _zip_steps(zip_members(file, check.where, allowance), check, allowance, folder)
            else:
                steps = _accepted(tar_members(file, packing, check.where, allowance), check)
            return _write_all(steps, check, folder, inner_folder)
        except OSError as error:
            purpose = f"cannot unpack {archive} into {destination}"
            raise cannot_write(purpose, error, "what was there before is unchanged") from error


def _check_destination(archive: Path, destination: Path) -> None:
    if destination.exists() and not destination.is_dir():
        raise InputError(f"cannot unpack into {destination}: it is a file; name a folder")
    if archive.resolve().is_relative_to(destination.resolve()):
        raise InputError(f"cannot unpack into {destination}: the archive {archive} lies in it, and it is replaced")


def _zip_steps(members: list[Member], check: MemberCheck, allowance: Allowance, folder: Path) -> list[_Step]:
    """What to write, in order, after a look at everything that the zip's directory says."""
    num_bytes = sum(member.num_bytes for member in members)
    if num_bytes > allowance.left_bytes:
        check.refuse_whole(f"{num_bytes:,} bytes unpacked", f"at most {allowance.left_bytes:,}")
    steps = list(_accepted(members, check))
    require_free_space(folder, num_bytes, f"cannot unpack {check.where}")
    return steps


def _accepted(members: Iterable[Member], check: MemberCheck) -> Iterator[_Step]:
    """Gives members to write until one is refused; from there on only looks for more to refuse."""
    try:
        for member in members:
            path = check.path_of(member)
            if path is not None and not len(check.problems):
                yield member, path
    except KwsbenchError:
        check.raise_problems()
        raise
    check.raise_problems()


def _write_all(steps: Iterable[_Step], check: MemberCheck, folder: Path, inner_folder: str | None) -> int:
    inner = tuple(inner_folder.split("/")) if inner_folder else ()
    num_files = 0
    for member, path in steps:
        below = path[len(inner) :]
        if path[: len(inner)] == inner and below:
            num_files += _write(member, folder.joinpath(*below))
    if num_files == 0:
        raise _nothing_found(check, inner_folder)
    return num_files


def _write(member: Member, path: Path) -> int:
    """Writes one member; returns the number of files made, 0 or 1."""
    if member.kind == FOLDER:
        path.mkdir(parents=True, exist_ok=True)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(handle, "wb") as file:
        for chunk in member.chunks():
            file.write(chunk)
    return 1


def _nothing_found(check: MemberCheck, inner_folder: str | None) -> InputError:
    if inner_folder is None:
        return damaged(check.where, "no file in it", "files")
    folders = check.top_folders
    found = f"the folders {', '.join(folders[:10])}" if folders else "no folder"
    problem = Problem(check.where, found, f"files in {inner_folder!r}", did_you_mean(inner_folder, folders))
    return InputError(f"cannot unpack {check.where}: it has nothing in a folder {inner_folder!r}", [problem])

"""What a member of a stranger's archive may be called and may be, whatever the archive's format.

Accepted are regular files and folders with relative names in UTF-8 that mean the same on every file system.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kwsbench.errors import Problem, ProblemLog, RefusedError

FILE, FOLDER = "a file", "a folder"

_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 4096
_MAX_DEPTH = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")
_DRIVE = re.compile(r"(\./+)*[A-Za-z]:")
_KEPT_NAME_CHARS = 120


@dataclass(frozen=True)
class Member:
    """One entry of an archive.

    Attributes:
        name: Its name, word for word as the archive has it.
        kind: `FILE`, `FOLDER`, or in words whatever else it is, such as `a symbolic link` or `an encrypted file`.
        num_bytes: The unpacked size that the archive claims.
        chunks: Gives its bytes, a piece at a time; raises `InputError` where they are damaged.
    """

    name: str
    kind: str
    num_bytes: int
    chunks: Callable[[], Iterator[bytes]]


@dataclass
class _Entry:
    spelling: str
    children: dict[str, _Entry] | None  # None for a file


@dataclass
class MemberCheck:
    """Looks at an archive's members one after the other, and remembers what is wrong and which names are taken.

    Attributes:
        where: The archive, for messages.
        max_members: How many members, and folders that only appear in their paths, there may be.
        problems: What was found wrong so far.
    """

    where: str
    max_members: int
    problems: ProblemLog = field(default_factory=ProblemLog)
    _root: dict[str, _Entry] = field(default_factory=dict)
    _num_members: int = 0

    @property
    def top_folders(self) -> list[str]:
        """The folders at the top of the archive, sorted."""
        return sorted(entry.spelling for entry in self._root.values() if entry.children is not None)

    def path_of(self, member: Member) -> tuple[str, ...] | None:
        """Returns the parts of the path to write `member` to; None where it is not to be written.

        That is the case for the archive's root, for what a Mac adds to its zips (`__MACOSX/`, `._*`, `.DS_Store`),
        and for members that are refused, which are noted in `problems`.

        Raises:
            RefusedError: There are too many members.
        """
        self._count_one()
        parts = tuple(part for part in member.name.split("/") if part not in {"", "."})
        if _is_mac_litter(parts) or (not parts and member.kind == FOLDER):
            return None
        faults = list(_faults(member, parts)) or self._taken(parts, is_folder=member.kind == FOLDER)
        for found, expected in faults:
            problem = Problem(f"{self.where}, member {shortened(member.name)}", found, expected)
            self.problems.add(f"{expected}, not {member.kind}", problem)
        return None if faults else parts

    def refuse_whole(self, found: str, expected: str) -> None:
        """Notes that the archive is refused for what its members are together."""
        self.problems.add(expected, Problem(self.where, found, expected))

    def raise_problems(self) -> None:
        """Raises everything that was found wrong.

        Raises:
            RefusedError: Something was.
        """
        if len(self.problems):
            raise RefusedError(
                f"refused to unpack {self.where}: it is unsafe; nothing of it is kept; get it from its publisher anew",
                self.problems.problems(),
            )

    def _count_one(self) -> None:
        self._num_members += 1
        if self._num_members > self.max_members:
            self.refuse_whole("more files and folders", f"at most {self.max_members:,}")
            self.raise_problems()

    def _taken(self, parts: tuple[str, ...], *, is_folder: bool) -> list[tuple[str, str]]:
        """Takes the path for a member; returns what speaks against it."""
        children = self._root
        for part in parts[:-1]:
            if _key(part) not in children:
                self._count_one()
            entry = children.setdefault(_key(part), _Entry(part, {}))
            if entry.spelling != part:
                return [_collision(part, entry)]
            if entry.children is None:
                return [(f"{FOLDER} {part!r} where another member has {FILE}", "one kind for each name")]
            children = entry.children
        known = _key(parts[-1]) in children
        entry = children.setdefault(_key(parts[-1]), _Entry(parts[-1], {} if is_folder else None))
        if entry.spelling != parts[-1]:
            return [_collision(parts[-1], entry)]
        if is_folder != (entry.children is not None):
            kinds = (FOLDER, FILE) if is_folder else (FILE, FOLDER)
            return [("{} where another member has {}".format(*kinds), "one kind for each name")]
        return [("the same name again", "each name once")] if known and not is_folder else []


def shortened(name: str) -> str:
    """Returns a member's name with everything that is not printable escaped, and not too long to read."""
    shown = repr(name)
    return shown if len(shown) <= _KEPT_NAME_CHARS else f"{shown[:_KEPT_NAME_CHARS]}... ({len(name):,} characters)"


def _key(part: str) -> str:
    """The same for all names that some file system takes for one: case is folded, accents are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold())


def _collision(part: str, entry: _Entry) -> tuple[str, str]:
    look_alike = unicodedata.normalize("NFC", part) == unicodedata.normalize("NFC", entry.spelling)
    show = ascii if look_alike else repr
    return f"{show(part)} beside {show(entry.spelling)}", "names that differ in more than case and Unicode form"


def _is_mac_litter(parts: tuple[str, ...]) -> bool:
    return bool(parts) and (parts[0] == "__MACOSX" or parts[-1] == ".DS_Store" or parts[-1].startswith("._"))


def _faults(member: Member, parts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What is wrong with the member alone, as (found, expected)."""
    if member.kind not in {FILE, FOLDER}:
        yield member.kind, "only plain files and folders"
    name = member.name
    if name.startswith("/"):
        yield "an absolute path", "a relative path"
    if ".." in parts:
        yield "a path that leads upwards", "a path without `..`"
    if not parts:
        yield "an empty name", "a name"
    yield from _character_faults(name)
    yield from _length_faults(name, parts)


def _character_faults(name: str) -> Iterator[tuple[str, str]]:
    if "\\" in name:
        yield "a backslash", "forward slashes"
    if _DRIVE.match(name):
        yield "a drive letter", "a path without one"
    if _CONTROL.search(name):
        yield "control characters", "printable names"
    if _NOT_UTF8.search(name):
        yield "bytes that are not UTF-8", "names in UTF-8"


def _length_faults(name: str, parts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    longest = max((len(part.encode(errors="surrogatepass")) for part in parts), default=0)
    if longest > _MAX_NAME_BYTES:
        yield f"a name of {longest:,} bytes", f"at most {_MAX_NAME_BYTES} bytes a name"
    num_bytes = len(name.encode(errors="surrogatepass"))
    if num_bytes > _MAX_PATH_BYTES:
        yield f"a path of {num_bytes:,} bytes", f"at most {_MAX_PATH_BYTES:,} bytes a path"
    if len(parts) > _MAX_DEPTH:
        yield f"{len(parts):,} folders inside each other", f"at most {_MAX_DEPTH}"

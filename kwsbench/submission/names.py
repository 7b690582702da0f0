"""Names of teams and entries, which are folders, and free text of strangers, which is shown to people."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from kwsbench.errors import InputError, Problem
from kwsbench.printable import printable

SLUG = r"[a-z0-9][a-z0-9_-]{0,62}"
"""What a team or an entry may be called: a folder on every file system, and a part of every address."""

FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""What a file of an entry may be called."""

_SLUG_WORDS = "small letters, digits, - and _, at most 63, the first a letter or a digit"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHOWN = 60


def slug_problem(name: str, where: str) -> Problem | None:
    """Returns what is wrong with the name of a team or an entry; None where nothing is."""
    if re.fullmatch(SLUG, name):
        return None
    nearest = re.sub(r"[^a-z0-9_-]+", "-", name[:_SHOWN].casefold()).strip("-_")
    return Problem(where, quoted(name), _SLUG_WORDS, f"call it {nearest!r}" if nearest else "choose another name")


def parse_key(text: str) -> tuple[str, str]:
    """Splits `TEAM/ENTRY`.

    Raises:
        InputError: It is not of that form, or a name is none that a folder may have.
    """
    team, slash, entry = text.partition("/")
    if not slash or "/" in entry:
        raise InputError(f"{quoted(text)} is not of the form TEAM/ENTRY, such as blue-owls/tc-small")
    named = (("the team", team), ("the entry", entry))
    problems = [problem for what, name in named if (problem := slug_problem(name, what))]
    if problems:
        raise InputError(f"{quoted(text)} cannot be the name of an entry", problems)
    return team, entry


def case_twins(folder: Path) -> Iterator[Path]:
    """Yields what lies beside an entry, or its team, under a name that differs in case alone."""
    for path in (folder.parent, folder):
        try:
            names = [other.name for other in path.parent.iterdir()]
        except OSError:
            continue
        yield from (
            path.with_name(name) for name in names if name != path.name and name.casefold() == path.name.casefold()
        )


def require_free_text(text: str) -> str:
    r"""Returns a text that shows as what it is: nothing hidden in it, nothing that turns its direction.

    Raises:
        ValueError: It has characters that do not show, or spaces around it.

    >>> require_free_text("TC-ResNet8, narrow")
    'TC-ResNet8, narrow'
    >>> require_free_text("evil\u202etxt")
    Traceback (most recent call last):
    ValueError: text without control and direction characters (there is U+202E)
    """
    hidden = next((letter for letter in text if unicodedata.category(letter) in _HIDDEN), None)
    if hidden is not None:
        raise ValueError(f"text without control and direction characters (there is U+{ord(hidden):04X})")
    if text != text.strip():
        raise ValueError("text without spaces around it")
    return text


def quoted(text: str) -> str:
    """Returns somebody's text in quotes, as it may be shown, and not too long to read."""
    shown = printable(text[:_SHOWN])
    return repr(shown) if len(text) <= _SHOWN else f"{shown!r}... ({len(text):,} characters)"

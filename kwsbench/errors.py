"""What can go wrong, said once: one error type, with the exit code and every problem that was found.

A command raises a `KwsbenchError`; `kwsbench.cli` renders it on stderr, without a traceback, and exits with
its code: 1 a check failed, 2 bad input or usage, 3 refused as unsafe.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the input.

    Attributes:
        where: File, and line, row or field in it (`preds.csv, line 3`).
        found: What is there.
        expected: What should be there.
        remedy: What to do about it; may be empty.
        count: How many places have this very problem, `where` being the first; at least 1.
    """

    where: str
    found: str
    expected: str = ""
    remedy: str = ""
    count: int = 1

    def __str__(self) -> str:
        text = f"{self.where}: found {self.found}"
        if self.expected:
            text += f", expected {self.expected}"
        if self.count > 1:
            text += f" (and {self.count - 1:,} more like it)"
        if self.remedy:
            text += f"; {self.remedy}"
        return text


def reason_of(error: BaseException) -> str:
    """Returns why the system did not do what it was asked for, in the middle of a sentence.

    >>> reason_of(FileNotFoundError(2, "No such file or directory", "preds.csv"))
    'no such file or directory'
    """
    return (getattr(error, "strerror", None) or str(error)).lower()


class KwsbenchError(Exception):
    """Base of every error that a user can cause.

    Args:
        message: One sentence that says what failed.
        problems: Everything that was found wrong, in file order.
    """

    exit_code = 2

    def __init__(self, message: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  - {problem}" for problem in self.problems)])


class CheckFailedError(KwsbenchError):
    """The input could be read, and a check that was asked for says no (exit code 1)."""

    exit_code = 1


class InputError(KwsbenchError):
    """The input or the usage is wrong (exit code 2)."""

    exit_code = 2


class RefusedError(KwsbenchError):
    """The input is refused because handling it would be unsafe (exit code 3)."""

    exit_code = 3


@dataclass
class ProblemLog:
    """Collects problems by kind: keeps the first few of each kind and counts the rest.

    Attributes:
        keep: How many problems of one kind are kept word for word.
    """

    keep: int = 5
    _kept: dict[str, list[Problem]] = field(default_factory=dict)
    _totals: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, problem: Problem) -> None:
        """Notes `problem` under `kind`; beyond `keep` of a kind only its count grows."""
        kept = self._kept.setdefault(kind, [])
        self._totals[kind] = self._totals.get(kind, 0) + 1
        if len(kept) < self.keep:
            kept.append(problem)

    def __len__(self) -> int:
        return sum(self._totals.values())

    def problems(self) -> list[Problem]:
        """Returns the kept problems, kind by kind; the last of each kind carries the count of those left out."""
        result: list[Problem] = []
        for kind, kept in self._kept.items():
            more = self._totals[kind] - len(kept)
            last = kept[-1]
            result += kept[:-1]
            result.append(Problem(last.where, last.found, last.expected, last.remedy, last.count + more))
        return result


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns `did you mean 'x'?` for the known word nearest to `word`, or an empty string."""
    by_fold = {name.strip().casefold(): name for name in known}
    near = difflib.get_close_matches(word.strip().casefold(), by_fold, n=1, cutoff=0.65)
    return f"did you mean {by_fold[near[0]]!r}?" if near else ""

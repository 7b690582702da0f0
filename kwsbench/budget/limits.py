"""The limits of a check: from the command line, a manifest, a competition, or the manifest a model was trained on.

Each limit comes from the first of these that has it, and the result says which one that was.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwsbench.budget.report import Limits
from kwsbench.catalogue import find_manifest, manifest_paths, names_a_path
from kwsbench.errors import InputError, Problem, did_you_mean, reason_of
from kwsbench.manifest import Manifest, read_manifest

COMPETITION = Path("leaderboard") / "competition.toml"
"""Where a competition is looked for in the current folder."""

_TIMES = {"max_latency_ms": ("milliseconds", 3_600_000), "max_receptive_field_s": ("seconds", 3_600)}
_MOST = 10**15
_TABLE = "limits"


@dataclass(frozen=True)
class FoundLimits:
    """Limits, and where each of them is from.

    Attributes:
        limits: The limits.
        words: Their sources, `leaderboard/competition.toml (max_params, max_macs)`; empty without limits.
    """

    limits: Limits
    words: str = ""

    def filled(self, more: Limits, source: str) -> FoundLimits:
        """Returns these limits, and from `more` those that were missing; `source` names it in words."""
        missing = {name: value for name, value in _set(more).items() if name not in _set(self.limits)}
        if not missing:
            return self
        words = f"{source} ({', '.join(missing)})"
        return FoundLimits(self.limits.model_copy(update=missing), f"{self.words}; {words}" if self.words else words)


def find_limits(
    given: Mapping[str, float | None],
    manifest: Manifest | None = None,
    competition: Path | None = None,
    folder: Path = Path(),
) -> FoundLimits:
    """Finds the limits that are known before the model is read.

    Args:
        given: From the command line, by the names of the fields of `Limits`.
        manifest: The manifest that was asked for.
        competition: The competition file that was asked for.
        folder: Where `leaderboard/competition.toml` is looked for if no competition file was asked for.

    Raises:
        InputError: A limit is no number that can be one, or the competition file cannot be used.
    """
    found = FoundLimits(Limits()).filled(_checked(given), "the command line")
    if manifest is not None:
        found = found.filled(limits_of(manifest), f"the manifest {manifest.name}")
    file = competition or folder / COMPETITION
    if competition is None and not file.exists():
        return found
    rules = read_competition(file)
    found = found.filled(rules.limits, str(file))
    if rules.manifest is None:
        return found
    return found.filled(limits_of(rules.manifest), f"the manifest {rules.manifest.name}, which {file} names")


def fill_from_training(found: FoundLimits, manifest_name: str) -> FoundLimits:
    """Returns `found`, and what it lacks from the budget of the manifest that a model was trained on.

    A model may come from a stranger, so the name is only looked up among the shipped manifests and is never a path.
    """
    path = manifest_paths().get(manifest_name)
    if path is None:
        return found
    return found.filled(limits_of(read_manifest(path)), f"the manifest {manifest_name}, which the model was trained on")


def limits_of(manifest: Manifest) -> Limits:
    """Returns the budget of a manifest as limits."""
    return Limits(max_params=manifest.budget.max_params, max_macs=manifest.budget.max_macs)


@dataclass(frozen=True)
class Competition:
    """What a competition file says of a budget.

    Attributes:
        limits: Its table `[limits]`.
        manifest: The manifest that it names; None where it names none.
    """

    limits: Limits
    manifest: Manifest | None


def read_competition(path: Path) -> Competition:
    """Reads `[limits]` and `manifest` of a competition file; what else stands there belongs to the leaderboard.

    A manifest that is named by a path lies relative to the competition file.

    Raises:
        InputError: The file cannot be read or is no TOML, its manifest is not there, or a limit is unknown or no number
            that can be one; all problems are named, with their lines.
    """
    text = _text_of(path)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib also lets through what int() and nesting raise
        raise InputError(f"the competition file {path} is not valid TOML: {error}") from error
    problems = list(_problems(document, text, path))
    if problems:
        raise InputError(f"the competition file {path} cannot be used", problems)
    return Competition(Limits(**document.get(_TABLE, {})), _manifest_of(document.get("manifest"), path))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read the competition file {path}: it is not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"cannot read the competition file {path}: {reason_of(error)}") from error


def _problems(document: dict[str, Any], text: str, path: Path) -> Iterator[Problem]:
    for key in document:
        if key in Limits.model_fields:
            yield Problem(_place(key, text, path), f"{key} outside of a table", f"it in [{_TABLE}]")
        elif key != _TABLE and _TABLE not in document and did_you_mean(key, [_TABLE]):
            yield Problem(_place(key, text, path), repr(key), f"a table [{_TABLE}]")
    manifest = document.get("manifest")
    if not isinstance(manifest, str | None):
        yield Problem(_place("manifest", text, path), repr(manifest)[:80], "the name of a manifest, or its path")
    table = document.get(_TABLE, {})
    if not isinstance(table, dict):
        yield Problem(_place(_TABLE, text, path), repr(table)[:80], f"a table [{_TABLE}]")
        return
    for key, value in table.items():
        if reason := _reason_against(key, value):
            yield Problem(_place(key, text, path), *reason)


def _place(key: str, text: str, path: Path) -> str:
    """Names the file, and the line of a key or table where just one line can be it."""
    begins = re.compile(rf"""\s*(?:\[\s*)?(?:limits\s*\.\s*)?(["']?){re.escape(key)}\1\s*[=\]]""")
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if begins.match(line)]
    return f"{path}, line {lines[0]}" if len(lines) == 1 else str(path)


def _reason_against(name: str, value: Any) -> tuple[str, str, str] | None:
    """What was found and expected, and a remedy, where `value` cannot be the limit `name`."""
    if name not in Limits.model_fields:
        return (
            f"the unknown limit {name!r}",
            f"one of {', '.join(Limits.model_fields)}",
            did_you_mean(name, Limits.model_fields),
        )
    if name in _TIMES:
        unit, most = _TIMES[name]
        fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most
        expected = f"{unit}, more than 0 and at most {most:,}"
    else:
        fits = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST
        expected = f"a whole number from 1 to {_MOST:,}"
    return None if fits else (f"{name} = {value!r}"[:80], expected, "")


def _checked(given: Mapping[str, float | None]) -> Limits:
    values = {name: value for name, value in given.items() if value is not None}
    reasons = {name: _reason_against(name, value) for name, value in values.items()}
    problems = [Problem(_flag(name), *reason) for name, reason in reasons.items() if reason]
    if problems:
        raise InputError("the limits cannot be used", problems)
    return Limits.model_validate(values)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _manifest_of(name: str | None, competition: Path) -> Manifest | None:
    if name is None:
        return None
    try:
        return find_manifest(str(competition.parent / name) if names_a_path(name) else name)[0]
    except InputError as error:
        raise InputError(f"{competition} names a manifest that cannot be used: {error}") from error


def _set(limits: Limits) -> dict[str, float]:
    return {name: value for name, value in limits if value is not None}

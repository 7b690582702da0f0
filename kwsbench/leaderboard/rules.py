"""The rules of a competition, `competition.toml`: read once, at the edge, into frozen tables.

A file that holds `manifest` and `[limits]` alone is valid: everything else has a default that asks for nothing.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from kwsbench.budget.limits import read_competition
from kwsbench.budget.report import Limits
from kwsbench.catalogue import names_a_path
from kwsbench.errors import InputError, Problem, did_you_mean, reason_of
from kwsbench.leaderboard.local_time import find_zone, instant_of
from kwsbench.leaderboard.rule_tables import Entries, Late, Points, Private, Ranking
from kwsbench.leaderboard.toml_lines import place_of
from kwsbench.manifest import Split
from kwsbench.manifest.fields import Table

MOST_BYTES = 256 * 1024
"""Size of a file of rules beyond which it is not read."""

_NO_OFFSET = 'an offset, such as +01:00, or timezone = "Europe/Berlin" at the top of the file'
_TIMES = ("opens", "deadline")


def _zone_exists(name: str) -> str:
    find_zone(name)
    return name


class Rules(Table):
    """A competition.

    Attributes:
        title: Its name.
        text: What it is about, in Markdown.
        manifest: Name of a shipped manifest, or the path of one; a leaderboard needs it, a budget check does not.
        split: The split that entries predict.
        truth: Truth table to score with instead of a prepared data set.
        limits: What a model may have, as this file alone states it; what is missing comes from the manifest's budget.
        timezone: Where the clocks are that times without an offset, and the days of `per_day`, go by.
        opens: When the first entry may be handed in.
        deadline: The last instant that is in time.
        late: What becomes of entries after that.
        entries: How many entries, and which count.
        ranking: What decides about the order.
        points: How points follow; None without points.
        private: The hidden part of the clips; None where everything is shown.
    """

    title: str = Field(default="Leaderboard", min_length=1, max_length=200)
    text: str = ""
    manifest: str | None = None
    split: Split = "test"
    truth: Path | None = None
    limits: Limits = Limits()
    timezone: Annotated[str, AfterValidator(_zone_exists)] | None = None
    opens: AwareDatetime | None = None
    deadline: AwareDatetime | None = None
    late: Late = Late()
    entries: Entries = Entries()
    ranking: Ranking = Ranking()
    points: Points | None = None
    private: Private | None = None

    @property
    def zone(self) -> tzinfo:
        """Where the clocks are: in `timezone`, else at the deadline's or the opening's offset, else UTC."""
        if self.timezone is not None:
            return find_zone(self.timezone)
        known = self.deadline or self.opens
        return (known and known.tzinfo) or UTC

    @property
    def hides(self) -> bool:
        """Whether a part of the clips is private and its key is not in the rules."""
        return self.private is not None and self.private.key is None

    @field_validator("title")
    @classmethod
    def _title_is_a_line(cls, title: str) -> str:
        if not title.isprintable():
            raise ValueError("one line of text without control characters")
        return title

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.opens and self.deadline and self.opens >= self.deadline:
            raise ValueError("the deadline is not after the opening")
        if self.late.days and self.deadline is None:
            raise ValueError("[late] needs a deadline")
        return self


def read_rules(path: Path) -> Rules:
    """Reads the rules of a competition; `truth` and a manifest's path are relative to the file.

    Raises:
        InputError: The file cannot be read, is no TOML, or breaks the schema; every problem is named, with its line
            where that can be told.
    """
    text, document = _document_of(path)
    problems, limits = _limits_of(path, document, text)
    problems += list(_make_times_aware(document, text, path))
    for name in Limits.model_fields:  # outside of [limits] they are a problem that is known by now
        document.pop(name, None)
    try:
        rules = Rules.model_validate_json(json.dumps({**document, "limits": limits.model_dump()}, default=str))
    except ValidationError as error:
        known = {problem.where for problem in problems if ", line " in problem.where}
        found = [_problem(detail, text, path) for detail in error.errors(include_url=False)]
        problems += [problem for problem in found if problem.where not in known]
    if problems:
        raise InputError(f"the rules {path} cannot be used", problems)
    return _beside(path, rules)


def _document_of(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"cannot read the rules {path}: they are longer than {MOST_BYTES:,} bytes")
        text = content.decode("utf-8-sig")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read the rules {path}: it is not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"cannot read the rules {path}: {reason_of(error)}") from error
    except (ValueError, RecursionError) as error:  # tomllib also lets through what int() and nesting raise
        raise InputError(f"the rules {path} are not valid TOML: {error}") from error


def _limits_of(path: Path, document: dict[str, Any], text: str) -> tuple[list[Problem], Limits]:
    """What is wrong with `[limits]` and `manifest`, as `check-budget` sees it, and the limits where nothing is."""
    try:
        return [], read_competition(path).limits
    except InputError as error:
        if error.problems:
            return list(error.problems), Limits()
        place = place_of(("manifest",), text, str(path))
        reason = error.message.rpartition("cannot be used: ")[2]
        return [Problem(place, repr(document.get("manifest")), "a manifest that can be read", reason)], Limits()


def _make_times_aware(document: dict[str, Any], text: str, path: Path) -> Iterator[Problem]:
    """Gives times without an offset that of the time zone; those that cannot be are taken out and reported."""
    zone = document.get("timezone")
    for name in _TIMES:
        value = document.get(name)
        if value is None or (isinstance(value, datetime) and value.tzinfo is not None):
            continue
        try:
            document[name] = _instant(value, zone)
        except ValueError as error:
            del document[name]
            yield Problem(place_of((name,), text, str(path)), f"{name} = {value}"[:80], str(error))


def _instant(value: Any, zone: Any) -> datetime:
    if isinstance(value, datetime) and isinstance(zone, str):
        return instant_of(value, find_zone(zone))
    is_time = isinstance(value, datetime)
    raise ValueError(_NO_OFFSET if is_time else "a date and a time of day, such as 2026-11-21T18:30:00+01:00")


def _problem(detail: ErrorDetails, text: str, path: Path) -> Problem:
    place = place_of([part for part in detail["loc"] if part != "tuple"], text, str(path))
    name = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        known = _fields_at(detail["loc"][:-1])
        return Problem(place, f"the unknown field {name}", f"one of {', '.join(known)}", did_you_mean(name, known))
    if detail["type"] == "missing":
        return Problem(place, f"no {name}", "this field", "add it")
    message = detail["msg"].removeprefix("Value error, ")
    if isinstance(detail["input"], dict):
        return Problem(place, f"a contradiction{f' in [{name}]' if name else ''}: {message}")
    return Problem(place, f"{name} = {detail['input']!r}"[:80], message[0].lower() + message[1:])


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    tables: dict[str, type[Table]] = {
        "late": Late,
        "entries": Entries,
        "ranking": Ranking,
        "points": Points,
        "private": Private,
    }
    table = tables.get(str(location[0])) if location else None
    return list((table or Rules).model_fields)


def _beside(path: Path, rules: Rules) -> Rules:
    update: dict[str, Any] = {}
    if rules.truth is not None:
        update["truth"] = path.parent / rules.truth
    if rules.manifest is not None and names_a_path(rules.manifest):
        update["manifest"] = str(path.parent / rules.manifest)
    return rules.model_copy(update=update)

"""`submission.toml`, the form of an entry: read from strangers with every problem named, and written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from kwsbench.errors import InputError, Problem, did_you_mean
from kwsbench.manifest import Split
from kwsbench.submission.folder import FORM, MAX_FORM_BYTES, read_regular
from kwsbench.submission.names import FILE_NAME, SLUG, quoted, require_free_text

MAX_TITLE = 120
MAX_MEMBER = 80
MAX_MEMBERS = 20

_YEARS = (2000, 2100)  # a time outside of them is a slip, and cannot be turned into every zone


def _sensible(time: datetime) -> datetime:
    if not _YEARS[0] <= time.year < _YEARS[1]:
        raise ValueError(f"a year from {_YEARS[0]} to {_YEARS[1] - 1}")
    return time


Slug = Annotated[str, StringConstraints(pattern=f"^{SLUG}$")]
FileName = Annotated[str, StringConstraints(pattern=f"^{FILE_NAME}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TITLE), AfterValidator(require_free_text)]
Member = Annotated[str, StringConstraints(min_length=1, max_length=MAX_MEMBER), AfterValidator(require_free_text)]
Time = Annotated[AwareDatetime, AfterValidator(_sensible)]

_REMEDIES = {
    "team": "write what the folder above is called",
    "entry": "write what the folder is called",
    "title": f"write one line of at most {MAX_TITLE} characters",
    "submitted": "write the time with its offset, such as 2026-11-21T18:30:00+01:00",
    "members": 'write a list of names, such as ["Ada L.", "Alan T."]',
    "sha256": "run `kwsbench submission seal` on the folder",
    "clips_sha256": "predict again with `kwsbench submission new`",
}


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Files(_Table):
    """What the files of an entry are called: they lie in its folder."""

    model: FileName
    definition: FileName | None = None
    predictions: FileName = "predictions.csv"
    report: FileName = "report.md"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [*self.named().values(), FORM]
        if len({name.casefold() for name in names}) < len(names):
            raise ValueError(f"files of different names, {FORM} among them")
        if not self.predictions.endswith(".csv") or not self.report.endswith(".md"):
            raise ValueError("predictions that end in .csv and a report that ends in .md")
        if self.definition is not None and not self.definition.endswith(".py"):
            raise ValueError("a definition that ends in .py")
        return self

    def named(self) -> dict[str, str]:
        """Returns what each of the files that there are is called."""
        return self.model_dump(exclude_none=True)


class Hashes(_Table):
    """SHA-256 of the files, as they were when the entry was sealed."""

    model: Sha256
    definition: Sha256 | None = None
    predictions: Sha256
    report: Sha256


class Form(_Table):
    """What `submission.toml` says; for the fields see `kwsbench.submission.record.Submission`."""

    team: Slug
    entry: Slug
    title: Title
    members: Annotated[tuple[Member, ...], Field(max_length=MAX_MEMBERS, strict=False)] = ()
    manifest: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,100}$")]
    clips_sha256: Sha256
    split: Split
    submitted: Time
    kwsbench: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z.+-]{1,40}$")]
    network: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")] | None = None
    files: Files
    sha256: Hashes

    @model_validator(mode="after")
    def _whole_definition(self) -> Self:
        if (self.files.definition is None) != (self.network is None):
            raise ValueError(
                "`files.definition` and `network` together, for weights whose network a .py file defines, or neither"
            )
        return self


def read_form(path: Path) -> Form:
    """Reads `submission.toml`.

    Raises:
        InputError: It is missing, a link, too large, no TOML, or breaks the schema; every broken field is named.
    """
    try:
        text = read_regular(path, MAX_FORM_BYTES).decode("utf-8-sig")
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:  # tomllib also lets through what int() and nesting raise
        raise InputError(f"{path} is not valid TOML: {str(error)[:200]}") from error
    return parse_form(table, path)


def parse_form(table: Mapping[str, Any], path: Path) -> Form:
    """Returns the form that a table is; `path` names it in messages. Raises InputError as `read_form` does."""
    try:
        return Form.model_validate(table)
    except ValidationError as error:
        problems = [_problem(path, detail) for detail in error.errors(include_url=False)]
        raise InputError(f"{path} is not what the form of an entry should be", problems) from error


def _problem(path: Path, detail: ErrorDetails) -> Problem:
    place = [str(part) for part in detail["loc"]]
    where = f"{path}, field {'.'.join(place)[:100]}" if place else str(path)
    remedy = _REMEDIES.get(place[0], "") if place else ""
    if detail["type"] == "extra_forbidden":
        known = {"files": Files, "sha256": Hashes}.get(place[0], Form).model_fields
        return Problem(where, "a field that no form has", "", did_you_mean(place[-1][:100], known) or "remove it")
    if detail["type"] == "missing":
        return Problem(where, "nothing", "this field", remedy or "add it")
    found = detail["input"]
    shown = quoted(found) if isinstance(found, str) else quoted(str(found))
    return Problem(where, shown, _expected(detail), remedy)


def _expected(detail: ErrorDetails) -> str:
    if detail["type"] == "timezone_aware":
        return "a time that says how far it is from UTC; a local time means another moment in every zone"
    message = detail["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def form_text(form: Form) -> str:
    """Returns a form as TOML."""
    members = ", ".join(_quoted(member) for member in form.members)
    fields = {
        "team": _quoted(form.team),
        "entry": _quoted(form.entry),
        "title": _quoted(form.title),
        "members": f"[{members}]",
        "manifest": _quoted(form.manifest),
        "clips_sha256": _quoted(form.clips_sha256),
        "split": _quoted(form.split),
        "submitted": form.submitted.isoformat(timespec="seconds"),
        "kwsbench": _quoted(form.kwsbench),
        **({"network": _quoted(form.network)} if form.network is not None else {}),
    }
    parts = [_lines(fields)]
    for name, table in (("files", form.files.named()), ("sha256", form.sha256.model_dump(exclude_none=True))):
        parts.append(f"[{name}]\n" + _lines({key: _quoted(value) for key, value in table.items()}))
    return "\n".join(parts)


def _lines(fields: dict[str, str]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in fields.items())


def _quoted(text: str) -> str:
    # JSON's strings are TOML's basic strings, but for DEL, which no text of a form holds.
    return json.dumps(text, ensure_ascii=False)

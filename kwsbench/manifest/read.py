"""Reads a manifest from TOML, and says what is wrong with one."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kwsbench.errors import InputError, Problem, did_you_mean
from kwsbench.front_end import FrontEnd
from kwsbench.manifest.draws import DrawSilence, DrawUnknown
from kwsbench.manifest.schema import Budget, Manifest
from kwsbench.manifest.sources import Archive, CsvSource, FolderRule, FolderSource, HashRule, ListsRule, WholeRule
from kwsbench.manifest.synthesis import SpokenWord, Synthesis


def read_manifest(path: Path) -> Manifest:
    """Reads a manifest from its TOML file.

    Raises:
        InputError: The file cannot be read, is no TOML, or breaks the schema; every broken field is named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the manifest {path}: {_reason(error)}") from error
    return parse_manifest(text, str(path))


def parse_manifest(text: str, where: str) -> Manifest:
    """Parses the TOML text of a manifest; `where` names it in messages. Raises as `read_manifest` does."""
    try:
        table = _as_json(tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # tomllib also lets through what int() and nesting raise
        raise InputError(f"the manifest {where} is not valid TOML: {error}") from error
    try:
        return Manifest.model_validate_json(table)
    except ValidationError as error:
        problems = [_problem(where, detail) for detail in error.errors(include_url=False)]
        count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        raise InputError(f"the manifest {where} has {count}", problems) from error


def _as_json(table: dict[str, Any]) -> str:
    # pydantic's strict mode takes arrays as tuples from JSON, as TOML has no other sequence either.
    return json.dumps(table, default=str)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it is not UTF-8 text"


def _problem(where: str, detail: ErrorDetails) -> Problem:
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        model = _model_at(detail["loc"][:-1])
        return Problem(
            f"{where}, field {place}", "a field that no manifest has", "", did_you_mean(str(detail["loc"][-1]), model)
        )
    if detail["type"] == "missing":
        return Problem(f"{where}, field {place}", "nothing", "this field", "add it")
    message = detail["msg"].removeprefix("Value error, ")
    if isinstance(detail["input"], dict):
        return Problem(f"{where}, field {place}" if place else where, f"a contradiction: {message}")
    return Problem(f"{where}, field {place}", repr(detail["input"])[:80], message[0].lower() + message[1:])


def _model_at(location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields that a table at this place of the TOML may have."""
    tables: dict[str, list[type[BaseModel]]] = {
        "archives": [Archive],
        "sources": [FolderSource, CsvSource],
        "unknown": [DrawUnknown],
        "silence": [DrawSilence],
        "synthesis": [Synthesis],
        "budget": [Budget],
        "front_end": [FrontEnd],
        "words": [SpokenWord],
        "split": [ListsRule, HashRule, FolderRule, WholeRule],
    }
    named = [part for part in location if isinstance(part, str) and part in tables]
    models = tables[named[-1]] if named else [Manifest]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]

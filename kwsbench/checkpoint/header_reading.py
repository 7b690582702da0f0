"""The header of a model as text, read into its type with one message for what is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from kwsbench.checkpoint.header import ModelHeader
from kwsbench.errors import InputError

Header = TypeVar("Header", bound=ModelHeader)


def parse_header(where: Path, text: str, kind: type[Header]) -> Header:
    """Reads a header from JSON.

    Args:
        where: The file that it stands in, for messages.
        text: The JSON.
        kind: The type of header.

    Raises:
        InputError: It is not one; the message names the first field that does not fit.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in detail["loc"]) or "all of it"
        raise InputError(
            f"the header of {where} is not one that this kwsbench reads: {place}: {detail['msg'].removeprefix('Value error, ').lower()}"
        ) from error

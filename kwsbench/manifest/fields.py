"""What the fields of a manifest have in common: splits, labels, relative paths, and strict frozen tables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Split = Literal["train", "validation", "test"]
"""The part of a benchmark that a clip belongs to."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_LABEL = r"^[^\s,;\"'/\\.][^\s,;\"'/\\]*$"  # also the name of a folder, so neither a path nor `..`

Label = Annotated[str, Field(pattern=_LABEL)]
"""A label, which is also the name of a folder."""


def _relative_posix(path: str) -> str:
    parts = path.split("/")
    if "\\" in path or not path.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise ValueError("a relative path with forward slashes and without `..`")
    return path


RelativePath = Annotated[str, AfterValidator(_relative_posix)]
"""A path with forward slashes that leads nowhere else."""


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in lower-case hexadecimal digits."""


class Table(BaseModel):
    """A table of a manifest: frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

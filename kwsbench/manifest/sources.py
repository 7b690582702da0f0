"""Where a benchmark's clips come from, and the rules that give each of them its split."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kwsbench.manifest.fields import SPLITS, Label, RelativePath, Sha256, Split, Table


class Archive(Table):
    """Where a part of the audio comes from.

    Attributes:
        folder: Name of the folder that the archive is unpacked into.
        file: File name of the archive; its ending says how it is packed.
        url: Where to download it; absent for a manual archive.
        num_bytes: Its size (`bytes` in TOML), where known.
        sha256: Its checksum, where known.
        checksum_note: Why there is no checksum; it is recorded at the first download then.
        manual: What a person has to do to get it, where a login is needed.
        inner_folder: Folder inside the archive that holds everything; it is left out of the paths.
    """

    folder: RelativePath
    file: RelativePath
    url: str | None = Field(default=None, pattern=r"^https?://")
    num_bytes: int | None = Field(default=None, alias="bytes", gt=0)
    sha256: Sha256 | None = None
    checksum_note: str | None = None
    manual: str | None = None
    inner_folder: RelativePath | None = None

    @model_validator(mode="after")
    def _obtainable(self) -> Self:
        if (self.url is None) == (self.manual is None):
            raise ValueError("an archive has either `url` or `manual`")
        if self.url is not None and self.sha256 is None and self.checksum_note is None:
            raise ValueError("an archive without `sha256` says why in `checksum_note`")
        return self


class ListsRule(Table):
    """Splits by official lists: files with one clip path per line; a clip on no list is for training."""

    rule: Literal["lists"]
    validation: RelativePath
    test: RelativePath


class HashRule(Table):
    """Splits by the SHA-1 of the base name up to `_nohash_` (Warden, arXiv 1804.03209, section 5.2)."""

    rule: Literal["hash"]
    validation_percent: float = Field(ge=0, le=100)
    test_percent: float = Field(ge=0, le=100)

    @model_validator(mode="after")
    def _within_hundred(self) -> Self:
        if self.validation_percent + self.test_percent > 100:
            raise ValueError("validation_percent and test_percent overlap: together they are over 100")
        return self


class FolderRule(Table):
    """Splits by the first folder of the path, which is named like a split: `train/yes/a.wav`."""

    rule: Literal["folder"]


class WholeRule(Table):
    """Every clip of the source belongs to one split."""

    rule: Literal["whole"]
    split: Split


SplitRule = Annotated[ListsRule | HashRule | FolderRule | WholeRule, Field(discriminator="rule")]


class FolderSource(Table):
    """Clips in folders that are named like their labels.

    Attributes:
        archive: `Archive.folder` of the archive that holds them.
        split: The rule that gives each clip its split.
        keep: Splits to take from this source; clips of other splits are left out.
        labels: Folders to take as labels of the same name; all labels of the manifest where absent.
    """

    layout: Literal["folders"]
    archive: RelativePath
    split: SplitRule
    keep: tuple[Split, ...] = Field(default=SPLITS, min_length=1)
    labels: tuple[Label, ...] | None = Field(default=None, min_length=1)


class CsvSource(Table):
    """Clips listed in a CSV; their paths are relative to that CSV.

    Attributes:
        archive: `Archive.folder` of the archive that holds the CSV.
        table: Path of the CSV.
        split: The split that it lists.
        path_column: Column with the path.
        label_column: Column with the label.
        host_labels: The labels are the host's secret: the table has none.
        id_column: Column with the id where that is not the path; rows are numbered from 0 where absent.
    """

    layout: Literal["csv"]
    archive: RelativePath
    table: RelativePath
    split: Split
    path_column: str = "path"
    label_column: str = "label"
    host_labels: bool = False
    id_column: str | None = None


Source = Annotated[FolderSource | CsvSource, Field(discriminator="layout")]

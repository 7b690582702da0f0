"""Where data sets lie on the disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kwsbench.manifest import Manifest

DESCRIPTION = "prepared.json"
"""The file that says what was prepared; a folder that has it holds a whole prepared data set."""


@dataclass(frozen=True)
class Places:
    """Where things lie below the data folder (`--data`, `$KWSBENCH_DATA`, or `data`)."""

    root: Path

    def folder(self, manifest: Manifest) -> Path:
        """Folder of the prepared data set."""
        return self.root / manifest.name

    def is_prepared(self, name: str) -> bool:
        """Whether a data set of this name was prepared here; the name may come from a stranger."""
        return name.isidentifier() and (self.root / name / DESCRIPTION).is_file()

    def archive(self, file: str) -> Path:
        """Where a downloaded archive lies."""
        return self.root / "_archives" / file

    def audio_root(self, manifest: Manifest) -> Path:
        """Where the audio is unpacked or synthesised to."""
        if manifest.synthesis is not None:
            return self.root / "_audio" / manifest.name
        return self.root / "_audio" / (manifest.archives[0].folder if len(manifest.archives) == 1 else "")


def places(data: Path | None) -> Places:
    """Returns the places below `data`, or below `$KWSBENCH_DATA`, or below `data` in the current folder."""
    return Places(data or Path(os.environ.get("KWSBENCH_DATA") or "data"))


def prepared_folders(root: Path) -> list[Path]:
    """Returns the folders below `root` that hold a prepared data set, in the order of their names."""
    return sorted(path.parent for path in root.glob(f"*/{DESCRIPTION}"))

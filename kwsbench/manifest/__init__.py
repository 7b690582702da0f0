"""The manifest: one TOML file that fixes everything a benchmark means.

A manifest is parsed once, at the edge, into the frozen types below; unknown fields are errors. Everything is
read as strings: `on`, `off`, `yes`, `no` are words and `00176480` is a name.

Paths: a clip's `path` is relative to the audio root. With one archive the audio root is the folder that the
archive unpacks into; with several it is the folder that holds one folder per archive, so that every path begins
with `Archive.folder`.
"""

from kwsbench.manifest.draws import DrawSilence, DrawUnknown
from kwsbench.manifest.fields import SPLITS, Label, Split
from kwsbench.manifest.read import parse_manifest, read_manifest
from kwsbench.manifest.schema import Budget, Manifest
from kwsbench.manifest.sources import (
    Archive,
    CsvSource,
    FolderRule,
    FolderSource,
    HashRule,
    ListsRule,
    SplitRule,
    WholeRule,
)
from kwsbench.manifest.synthesis import SpokenWord, Synthesis, Voices

__all__ = [
    "SPLITS",
    "Archive",
    "Budget",
    "CsvSource",
    "DrawSilence",
    "DrawUnknown",
    "FolderRule",
    "FolderSource",
    "HashRule",
    "Label",
    "ListsRule",
    "Manifest",
    "Split",
    "SplitRule",
    "SpokenWord",
    "Synthesis",
    "Voices",
    "WholeRule",
    "parse_manifest",
    "read_manifest",
]

"""Whether a split has what is trained on."""

from __future__ import annotations

import polars as pl

from kwsbench.dataset.clips import PreparedDataset
from kwsbench.errors import InputError
from kwsbench.manifest import Split


def rows_with_all_labels(dataset: PreparedDataset, split: Split) -> pl.DataFrame:
    """Returns the rows of a split. Raises InputError where it is empty or a label of the manifest has no clip in it."""
    rows = dataset.split(split)
    missing = sorted(set(dataset.manifest.labels) - set(rows["label"]))
    if missing:
        raise InputError(f"the {split} split of {dataset.manifest.name} has no clip of {', '.join(missing)}")
    return rows

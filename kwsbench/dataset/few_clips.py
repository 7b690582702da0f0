"""A few real clips of a prepared data set, the same ones wherever it is prepared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.dataset.clips import PreparedDataset, load_samples, open_dataset
from kwsbench.dataset.places import places
from kwsbench.errors import InputError
from kwsbench.manifest import Split


def few_clips(dataset: PreparedDataset, num_clips: int, split: Split | None = None) -> NDArray[np.float32]:
    """Returns at most `num_clips` clips, shape (clips, samples), label after label, the first by path of each.

    Args:
        dataset: The data set.
        num_clips: How many.
        split: Only clips of this split.

    Raises:
        InputError: Audio is missing or damaged, or the split has no clips.
    """
    clips = dataset.clips if split is None else dataset.split(split)
    known = pl.col("label").is_in(list(dataset.manifest.labels))  # the host keeps some
    rows = clips.filter(known).sort("path").with_columns(turn=pl.int_range(pl.len()).over("label"))
    order = pl.col("label").cast(pl.Enum(list(dataset.manifest.labels)))
    return load_samples(rows.sort("turn", order).head(num_clips).drop("turn"), dataset)


def few_clips_if_prepared(manifest_name: str, num_clips: int, data: Path | None = None) -> NDArray[np.float32] | None:
    """Returns a few clips of the data set of that name, None where it is not prepared or its audio is not there.

    The name may come from a model, so it is only looked up among the prepared data sets and never taken for a path.
    """
    if not places(data).is_prepared(manifest_name):
        return None
    try:
        return few_clips(open_dataset(manifest_name, places(data)), num_clips)
    except InputError:
        return None

"""Finds the truth that predictions belong to: a prepared data set, or a CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from kwsbench.catalogue import find_manifest
from kwsbench.dataset.clips import PreparedDataset, load_prepared, open_dataset
from kwsbench.dataset.places import Places, prepared_folders
from kwsbench.errors import InputError, Problem
from kwsbench.files import sha256_of_file
from kwsbench.manifest import SPLITS, Manifest, Split
from kwsbench.prediction_problems import read_header
from kwsbench.predictions import Truth, read_truth

_MATCHING_SHARE = 0.5


@dataclass(frozen=True)
class TruthSource:
    """A truth and where it comes from.

    Attributes:
        truth: The truth itself.
        id_column: Name of the id column of its predictions.
        manifest: The manifest, where there is one.
        data_sha256: Hash of `clips.csv` or of the truth table.
        origin: Where it comes from, in words.
    """

    truth: Truth
    id_column: str
    manifest: Manifest | None
    data_sha256: str
    origin: str


@dataclass(frozen=True)
class TruthOptions:
    """What the user says about the truth.

    Attributes:
        places: The data folder.
        manifest: Name of a prepared data set, or path of a manifest; None to look for the one that matches.
        split: The split that the predictions are for.
        table: A truth table to use instead of a prepared data set.
        background: Labels of that table that are background.
    """

    places: Places
    manifest: str | None = None
    split: Split = "test"
    table: Path | None = None
    background: Sequence[str] = ()


def find_truth(predictions: Path, options: TruthOptions) -> TruthSource:
    """Returns the truth for a file of predictions.

    Raises:
        InputError: None or several prepared data sets have its ids, or the one that was named is not there.
    """
    if options.table is not None:
        return _from_table(options.table, options)
    if options.manifest is not None:
        return from_dataset(open_dataset(options.manifest, options.places), options.split)
    return from_dataset(_matching(predictions, options), options.split)


def from_dataset(dataset: PreparedDataset, split: Split) -> TruthSource:
    """Returns the truth of one split of a prepared data set.

    Raises:
        InputError: Its labels are the host's, or not those of the manifest.
    """
    rows, manifest = dataset.split(split), dataset.manifest
    if (rows["label"] == "").any():
        raise InputError(f"the labels of {manifest.name}, split {split}, are the host's; score with --truth truth.csv")
    codes = rows["label"].cast(pl.Enum(list(manifest.labels)), strict=False)
    if codes.null_count():
        raise InputError(f"{dataset.table} has labels that {manifest.name} does not have; prepare it again")
    truth = Truth(
        clip_ids=rows[manifest.id_column],
        labels=manifest.labels,
        num_keywords=len(manifest.keywords),
        truth=codes.to_physical().to_numpy().astype("int32"),
        speakers=rows["speaker_id"],
    )
    part = "" if dataset.complete else "a part of "
    origin = f"{part}{manifest.name} (revision {manifest.revision}), {split} split"
    return TruthSource(truth, manifest.id_column, manifest, dataset.clips_sha256, origin)


def _from_table(table: Path, options: TruthOptions) -> TruthSource:
    manifest = find_manifest(options.manifest)[0] if options.manifest else None
    truth, id_column = read_truth(
        table,
        labels=manifest.labels if manifest else None,
        num_keywords=len(manifest.keywords) if manifest else 0,
        background=options.background,
        id_column=manifest.id_column if manifest else None,
    )
    return TruthSource(truth, id_column, manifest, sha256_of_file(table), str(table))


def _matching(predictions: Path, options: TruthOptions) -> PreparedDataset:
    """The prepared data set whose ids are those of the predictions, or else the one that has most of them."""
    datasets = [load_prepared(folder) for folder in prepared_folders(options.places.root)]
    if not datasets:
        raise InputError(
            f"nothing is prepared in {options.places.root}; run `kwsbench data prepare NAME`, or score with --truth truth.csv"
        )
    columns = sorted({dataset.manifest.id_column for dataset in datasets})
    ids = _read_ids(predictions, columns)
    if not ids:
        shown = ", ".join(read_header(predictions))[:60]
        problem = Problem(
            f"{predictions}, line 1", f"the columns {shown}", f"a column {' or '.join(map(repr, columns))}"
        )
        raise InputError(f"{predictions} has no column with ids of a prepared data set", [problem])
    best = _best(ids, datasets, options.split)
    if len(best) == 1:
        return best[0]
    names = ", ".join(dataset.manifest.name for dataset in best or datasets)
    if best:
        raise InputError(f"{predictions} fits several prepared data sets ({names}); name one with --manifest")
    for split in SPLITS:
        others = _best(ids, datasets, split)
        if others:
            found = f"but those of the {split} split of {others[0].manifest.name}; score with --split {split}"
            raise InputError(f"{predictions}: its ids are not those of the {options.split} split, {found}")
    raise InputError(
        f"{predictions} fits no prepared data set: its ids are not those of the {options.split} split of {names}; name one with --manifest to see why"
    )


def _read_ids(predictions: Path, columns: Sequence[str]) -> dict[str, pl.Series]:
    """The ids in each of the columns that may hold them."""
    header = read_header(predictions)
    present = [column for column in dict.fromkeys(header) if column in columns]
    types = {f"column_{number}": pl.String() for number in range(len(header))}
    places = {column: f"column_{header.index(column)}" for column in present}
    try:
        table = pl.read_csv(
            predictions, schema=types, columns=list(places.values()), glob=False, truncate_ragged_lines=True
        )
    except pl.exceptions.PolarsError:
        return {column: _read_ids_of_broken_file(predictions, header.index(column)) for column in present}
    return {column: table[place].unique() for column, place in places.items()}


def _read_ids_of_broken_file(predictions: Path, place: int) -> pl.Series:
    """What looks like ids: enough to see which data set the file is for, so that reading it can say what is wrong."""
    with predictions.open(encoding="utf-8", errors="replace") as handle:
        rows = (line.rstrip("\n").split(",") for line in handle)
        return pl.Series([row[place].strip('"') for row in rows if len(row) > place][1:], dtype=pl.String).unique()


def _best(ids: Mapping[str, pl.Series], datasets: Sequence[PreparedDataset], split: Split) -> list[PreparedDataset]:
    shares = [_share(ids, dataset, split) for dataset in datasets]
    enough = 1.0 if 1.0 in shares else _MATCHING_SHARE
    return [dataset for dataset, share in zip(datasets, shares, strict=True) if share >= enough]


def _share(ids: Mapping[str, pl.Series], dataset: PreparedDataset, split: Split) -> float:
    """Ids that split and predictions share, as a part of those that either has (Jaccard index)."""
    wanted = dataset.clips.filter(pl.col("split") == split)[dataset.manifest.id_column]
    found = ids.get(dataset.manifest.id_column)
    if found is None or not len(wanted):
        return 0.0
    common = int(wanted.is_in(found.implode()).sum())
    return common / (len(wanted) + len(found) - common)

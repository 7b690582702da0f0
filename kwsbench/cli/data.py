"""`kwsbench data`: list, show, fetch, synth, prepare, verify, sample-submission."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kwsbench.cli import options
from kwsbench.cli.output import check_outputs, note, note_next, print_json, show, show_table

if TYPE_CHECKING:
    from kwsbench.dataset.clips import PreparedDataset
    from kwsbench.dataset.places import Places
    from kwsbench.manifest import Manifest

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Data sets: list, show, fetch, synthesise, prepare, verify.",
    epilog=options.example("data list"),
)


@app.command("list", epilog=options.example("data list --json"))
def list_manifests(data: options.Data = None, as_json: options.AsJson = False) -> None:
    """Lists the manifests and what is prepared."""
    from kwsbench.catalogue import manifest_paths
    from kwsbench.dataset.places import places, prepared_folders
    from kwsbench.errors import InputError
    from kwsbench.manifest import read_manifest

    where = places(data)
    known = {name: read_manifest(path) for name, path in manifest_paths().items()}
    for folder in prepared_folders(where.root):
        try:
            known.setdefault(folder.name, read_manifest(folder / "manifest.toml"))
        except InputError as error:
            note(f"{folder.name} is left out: {error}")
    records = [_overview(manifest, where) for manifest in known.values()]
    if as_json:
        print_json(records)
    else:
        rows = [
            (record["name"], record["labels"], _count(record["clips"]), record["state"], record["title"])
            for record in records
        ]
        show_table(("name", "labels", "clips", "state", "title"), rows, right=(1, 2))


@app.command("show", epilog=options.example("data show espeak_12"))
def show_manifest(name: options.Name, data: options.Data = None, as_json: options.AsJson = False) -> None:
    """Shows what a manifest fixes, and what is prepared of it."""
    from kwsbench.catalogue import find_manifest
    from kwsbench.dataset.places import places

    where = places(data)
    prepared = where.root / name / "manifest.toml"
    manifest, path = find_manifest(str(prepared) if "/" not in name and prepared.is_file() else name)
    record = manifest.model_dump(mode="json", by_alias=True)
    record |= {"file": str(path), "state": _overview(manifest, where)["state"]}
    if as_json:
        print_json(record)
        return
    archives = [archive.url or f"{archive.file} (manual)" for archive in manifest.archives] or [
        "synthesised with espeak-ng"
    ]
    facts = {
        "title": manifest.title,
        "about": manifest.description.strip(),
        "source": manifest.source,
        "citation": manifest.citation.strip(),
        "licence": manifest.licence,
        "keywords": ", ".join(manifest.keywords),
        "background": ", ".join(manifest.background_labels) or "none",
        "audio": f"{manifest.sample_rate_hz} Hz mono, {manifest.clip_length_s:g} s",
        "archives": "\n".join(archives),
        "budget": f"{_limit(manifest.budget.max_params)} parameters, {_limit(manifest.budget.max_macs)} MACs per second",
        "file": str(path),
        "state": record["state"],
    }
    show_table(("field", "value"), list(facts.items()))
    if manifest.expected:
        _show_counts({split: dict(counts) for split, counts in manifest.expected.items()}, "expected clips")


@app.command(epilog=options.example("data fetch mini_speech_commands_8"))
def fetch(name: options.Name, data: options.Data = None, as_json: options.AsJson = False) -> None:
    """Downloads the archives of a data set; run again, it goes on where it stopped."""
    from kwsbench.catalogue import find_manifest
    from kwsbench.dataset.obtain import fetch_archives
    from kwsbench.dataset.places import places

    manifest, _ = find_manifest(name)
    where = places(data)
    checksums = fetch_archives(manifest, where)
    files = [{"file": str(where.archive(file)), "sha256": sha256} for file, sha256 in checksums.items()]
    if as_json:
        print_json(files)
        return
    for entry in files:
        show(f"{entry['file']}: sha256 {entry['sha256']}")
    note_next("data", "prepare", name, data=data)


@app.command(epilog=options.example("data synth espeak_12"))
def synth(
    name: options.Name,
    data: options.Data = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, metavar="N", help="Voices at once. Default: one per processor.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Synthesises the audio of a data set that is made on the spot, the same bytes every time."""
    from kwsbench.catalogue import find_manifest
    from kwsbench.dataset.places import places
    from kwsbench.dataset.synthesis import synthesise

    manifest, _ = find_manifest(name)
    root = places(data).audio_root(manifest)
    started = time.perf_counter()
    count = synthesise(manifest, root, workers=workers)
    if as_json:
        print_json({"folder": str(root), "clips": count})
        return
    show(f"{count:,} clips in {root} ({time.perf_counter() - started:.0f} s)")
    note_next("data", "prepare", name, data=data)


@app.command(epilog=options.example("data prepare espeak_12"))
def prepare(
    name: options.Name,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="ARCHIVE_OR_FOLDER", help="Audio that you have. Default: what was fetched or synthesised."
        ),
    ] = None,
    data: options.Data = None,
    partial: Annotated[bool, typer.Option("--partial", help="Accept a part of the data set.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Reads every clip and writes `clips.csv`, the table that all later steps read."""
    from kwsbench.catalogue import find_manifest
    from kwsbench.dataset.obtain import obtain_audio
    from kwsbench.dataset.places import places
    from kwsbench.dataset.prepare import prepare as prepare_clips
    from kwsbench.dataset.prepare import split_counts

    manifest, path = find_manifest(name)
    where = places(data)
    dataset = prepare_clips(manifest, path, obtain_audio(manifest, where, source), where, partial=partial)
    counts = split_counts(dataset)
    if as_json:
        print_json(
            {
                "table": str(dataset.table),
                "clips_sha256": dataset.clips_sha256,
                "complete": dataset.complete,
                "clips": counts,
            }
        )
        return
    _show_counts(counts, f"{manifest.name}: clips")
    show(f"{dataset.table} ({len(dataset.clips):,} clips, sha256 {dataset.clips_sha256})")
    _note_state(dataset)
    note_next("train", "mfcc_lightgbm", "--manifest", manifest.name, data=data)


@app.command(epilog=options.example("data verify espeak_12"))
def verify(name: options.Name, data: options.Data = None, as_json: options.AsJson = False) -> None:
    """Holds the audio against `clips.csv`: missing, extra, damaged clips, and leaks between splits."""
    from dataclasses import asdict

    from kwsbench.dataset.clips import open_dataset
    from kwsbench.dataset.places import places
    from kwsbench.dataset.verify import verify as verify_clips
    from kwsbench.errors import CheckFailedError

    dataset = open_dataset(name, places(data))
    result = verify_clips(dataset)
    if as_json:
        print_json(asdict(result))
    else:
        show_table(("check", "problems"), [(check, len(found)) for check, found in result.checks.items()], right=(1,))
    if result.problems:
        raise CheckFailedError(
            f"{dataset.manifest.name} has {len(result.problems):,} problems", result.first_problems()
        )
    note(f"{result.num_clips:,} clips are as they were prepared.")


@app.command("sample-submission", epilog=options.example("data sample-submission espeak_12 --split test -o preds.csv"))
def sample_submission(
    name: options.Name,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="CSV", help="File to write.")] = Path("preds.csv"),
    split: options.Split = "test",
    data: options.Data = None,
    as_json: options.AsJson = False,
) -> None:
    """Writes a template of `preds.csv`: valid for a split, with one and the same label for every clip."""
    from kwsbench.dataset.clips import open_dataset
    from kwsbench.dataset.places import places
    from kwsbench.predictions import write_predictions

    check_outputs([output], {})
    dataset = open_dataset(name, places(data))
    clip_ids = dataset.split(split)[dataset.manifest.id_column]
    label = (dataset.manifest.background_labels or dataset.manifest.keywords)[0]
    write_predictions(output, clip_ids, [label] * len(clip_ids))
    if as_json:
        print_json({"predictions": str(output), "clips": len(clip_ids), "label": label})
        return
    show(f"{output}: {len(clip_ids):,} clips of the {split} split, all labelled {label}")
    note("Put your labels into the column `label`; scores may follow in columns score_<label>.")


def _overview(manifest: Manifest, where: Places) -> dict[str, Any]:
    fetched = [where.archive(archive.file).is_file() for archive in manifest.archives]
    prepared = where.is_prepared(manifest.name)
    state = "prepared" if prepared else "fetched" if fetched and all(fetched) else ""
    return {
        "name": manifest.name,
        "title": manifest.title,
        "labels": len(manifest.labels),
        "clips": _num_clips(manifest),
        "state": state or "-",
    }


def _num_clips(manifest: Manifest) -> int | None:
    """How many clips there will be; None where only preparing them tells."""
    from kwsbench.dataset.synthesis import plan

    if manifest.synthesis is not None:
        return len(plan(manifest))
    return sum(sum(counts.values()) for counts in manifest.expected.values()) or None


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _limit(number: int | None) -> str:
    return "any number of" if number is None else f"{number:,}"


def _show_counts(counts: dict[Any, dict[str, int]], title: str) -> None:
    labels = list(dict.fromkeys(label for split in counts.values() for label in split))
    rows = [(label or "(host's)", *(f"{split.get(label, 0):,}" for split in counts.values())) for label in labels]
    total = ("all", *(f"{sum(split.values()):,}" for split in counts.values()))
    show_table((title, *counts), [*rows, total], right=range(1, len(counts) + 1))


def _note_state(dataset: PreparedDataset) -> None:
    name, pinned = dataset.manifest.name, dataset.manifest.clips_sha256
    if not dataset.complete:
        note(f"This is a part of {name}: results on it are not results on {name}.")
    if pinned is not None:
        same = "is" if pinned == dataset.clips_sha256 else "is NOT"
        note(f"clips.csv {same} the one that the manifest names.")

"""`kwsbench submission`: new, validate, seal, pack, unpack, verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kwsbench.cli import options
from kwsbench.cli.budget import Arch
from kwsbench.cli.output import check_outputs, note, note_next, print_json, show, show_table, working
from kwsbench.errors import InputError, KwsbenchError

if TYPE_CHECKING:
    from kwsbench.errors import Problem
    from kwsbench.leaderboard.rules import Rules
    from kwsbench.submission.judging import House, Judged
    from kwsbench.submission.record import Verification

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Entries of a competition: make, validate, seal, pack, unpack, verify.",
    epilog=options.example("submission validate submissions/blue-owls/tc-small"),
)

_Folders = Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Entries: submissions/TEAM/ENTRY.")]
_Truth = Annotated[
    Path | None,
    typer.Option("--truth", metavar="CSV", help="Truth table, where the labels are the host's or no audio is here."),
]


@app.command(epilog=options.example("submission new blue-owls/tc-small --model model.pt --manifest espeak_12"))
def new(
    key: Annotated[str, typer.Argument(metavar="TEAM/ENTRY", help="What the folders are to be called.")],
    model: Annotated[Path, typer.Option("--model", metavar="MODEL", help="A trained model.")],
    arch: Arch = None,
    manifest: options.Manifest = None,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Title. Default: the name of the entry.")] = "",
    members: Annotated[
        list[str] | None, typer.Option("--member", metavar="NAME", help="A member of the team; may be given again.")
    ] = None,
    root: options.Submissions = options.SUBMISSIONS,
    competition: options.Competition = None,
    data: options.Data = None,
    baselines: options.Baselines = None,
    as_json: options.AsJson = False,
) -> None:
    """Makes an entry from a model: predicts the test split, counts the budget, writes the form and a report to fill in."""
    from kwsbench.submission.costing import breach
    from kwsbench.submission.scaffold import Wish, create

    house = find_house(competition, data=data, baselines=baselines, manifest=manifest)
    if house.manifest is None:
        raise InputError("name the benchmark with --manifest, or the rules with --competition")
    with working(f"Predicting with {model}"):
        made = create(Wish(key, model, root, title, tuple(members or ()), arch), house)
    over = breach(made.report)
    if as_json:
        report = made.report.model_dump(mode="json")
        print_json({"folder": str(made.folder), "clips": made.num_clips, "within_budget": not over, "budget": report})
        return
    show(f"{made.folder}: {made.num_clips:,} clips predicted; {over or made.report.verdict}")
    note(f"Now write {made.folder / 'report.md'}, and then:")
    note_next("submission", "seal", str(made.folder))
    note_next("submission", "validate", str(made.folder), data=data, baselines=baselines, competition=competition)


@app.command(epilog=options.example("submission seal submissions/blue-owls/tc-small"))
def seal(folders: _Folders, as_json: options.AsJson = False) -> None:
    """Writes the hashes of the files and the time into the form: the last thing to do before handing in."""
    from kwsbench.submission.scaffold import seal as seal_entry

    forms = {str(folder): seal_entry(folder) for folder in folders}
    if as_json:
        print_json({folder: form.model_dump(mode="json") for folder, form in forms.items()})
        return
    for folder, form in forms.items():
        show(f"{folder}: sealed {form.submitted.isoformat()}")


@app.command(epilog=options.example("submission validate submissions/blue-owls/tc-small"))
def validate(
    folders: _Folders,
    competition: options.Competition = None,
    data: options.Data = None,
    truth: _Truth = None,
    baselines: options.Baselines = None,
    run: Annotated[bool, typer.Option("--run/--no-run", help="Count the budget, which runs the model.")] = True,
    as_json: options.AsJson = False,
) -> None:
    """Says everything that is wrong with entries, each with its remedy: what a team runs before it hands in.

    The same code judges when the host verifies. Exit code 1: an entry is not valid.
    """
    house = find_house(competition, data=data, baselines=baselines, truth=truth)
    results = [_validated(folder, house, run=run) for folder in folders]
    if as_json:
        print_json([_validation_record(judged, problems) for judged, problems in results])
    else:
        for judged, problems in results:
            _show_validation(judged, problems)
    if any(problems for _, problems in results):
        raise typer.Exit(1)


def _validated(folder: Path, house: House, *, run: bool) -> tuple[Judged, list[Problem]]:
    from kwsbench.errors import Problem
    from kwsbench.submission.costing import budget_problem, count
    from kwsbench.submission.judging import judge

    judged = judge(folder, house)
    problems = list(judged.problems)
    if judged.refusal:
        problems.append(Problem(str(folder), f"this: {judged.refusal}"))
    elif run and judged.submission and judged.terms and judged.format:
        try:
            with working(f"Counting {judged.submission.model}"):
                over = budget_problem(count(judged.submission.model, judged.terms, house, judged.submission.arch))
            problems += [over] if over else []
        except KwsbenchError as error:
            problems.append(Problem(str(judged.submission.model), f"this: {error}"))
    return judged, problems


def _validation_record(judged: Judged, problems: list[Problem]) -> dict[str, Any]:
    return {
        "folder": str(judged.folder),
        "valid": not problems,
        "content_sha256": judged.content_sha256,
        "accuracy": judged.accuracy,
        "rows_checked": judged.predictions is not None,
        "problems": [str(problem) for problem in problems],
    }


def _show_validation(judged: Judged, problems: list[Problem]) -> None:
    from kwsbench.printable import printable

    count = len(problems)
    told = f"{count} problem{'s' if count > 1 else ''}" if problems else "valid"
    show(
        "\n".join([printable(f"{judged.folder}: {told}"), *(f"  - {printable(str(problem))}" for problem in problems)])
    )
    terms = judged.terms
    if terms is not None and terms.clip_ids is None:
        note(f"The rows of the predictions were not checked: {terms.why_not}")


@app.command(epilog=options.example("submission pack submissions/blue-owls/tc-small -o tc-small.zip"))
def pack(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="An entry: submissions/TEAM/ENTRY.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="ZIP", help="File to write. Default: TEAM-ENTRY.zip.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Writes an entry as one zip to hand in; equal content gives equal bytes."""
    from kwsbench.files import sha256_of_file
    from kwsbench.submission.packing import pack as pack_entry

    absolute = folder.absolute()
    target = output or Path(f"{absolute.parent.name}-{absolute.name}.zip")
    check_outputs([target], {})
    submission = pack_entry(folder, target)
    if as_json:
        print_json({"zip": str(target), "key": submission.key, "sha256": sha256_of_file(target)})
        return
    show(f"{target}: {target.stat().st_size:,} bytes, sha256 {sha256_of_file(target)}")


@app.command(epilog=options.example("submission unpack tc-small.zip --into submissions"))
def unpack(
    archive: Annotated[Path, typer.Argument(metavar="ZIP", help="What a team handed in.")],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Folder of all submissions.")
    ] = options.SUBMISSIONS,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of an entry of this name.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Unpacks what a team handed in to TEAM/ENTRY, whole or not at all; the archive is not trusted."""
    from kwsbench.submission.packing import unpack_entry

    folder = unpack_entry(archive, into, replace_existing=replace)
    if as_json:
        print_json({"folder": str(folder)})
        return
    show(f"{folder}")
    note_next("submission", "verify", str(folder))


_SomeFolders = Annotated[
    list[Path] | None, typer.Argument(metavar="[FOLDER...]", help="Entries: submissions/TEAM/ENTRY.")
]
_Every = Annotated[bool, typer.Option("--all", help="Every entry of --submissions.")]
_Run = Annotated[bool, typer.Option("--run/--no-run", help="Run the models and compare.")]
_Workers = Annotated[
    int | None, typer.Option("--workers", min=1, metavar="N", help="How many at once. Default: one per processor.")
]
_Dask = Annotated[
    str | None,
    typer.Option("--dask", metavar="ADDRESS", help="A Dask scheduler; its workers must see the same files."),
]
_TimeLimit = Annotated[float, typer.Option("--time-limit", min=1, metavar="S", help="Seconds that one entry may take.")]
_Cache = Annotated[
    Path | None, typer.Option("--cache", metavar="DIR", help="Where results are kept. Default: in ~/.cache/kwsbench.")
]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Verify again what was verified before.")]


@app.command(epilog=options.example("submission verify --all --workers 2"))
def verify(
    folders: _SomeFolders = None,
    every: _Every = False,
    root: options.Submissions = options.SUBMISSIONS,
    competition: options.Competition = None,
    data: options.Data = None,
    truth: _Truth = None,
    baselines: options.Baselines = None,
    run: _Run = True,
    workers: _Workers = None,
    dask: _Dask = None,
    time_limit: _TimeLimit = 600,
    cache: _Cache = None,
    fresh: _Fresh = False,
    as_json: options.AsJson = False,
) -> None:
    """Scores predictions, runs models again and compares, tries them on changed clips, counts budgets: what a host runs.

    Only what is new or has changed is done. Exit code 1: an entry is not verified.
    """
    from kwsbench.submission.record import Verdict, find_submissions
    from kwsbench.submission.verify import Verifying, default_cache, verify_all

    if every == bool(folders):
        raise InputError("name the entries to verify, or give --all for those in --submissions")
    chosen = find_submissions(root) if every else list(dict.fromkeys(folders or ()))
    house = find_house(competition, data=data, baselines=baselines, truth=truth)
    verifying = Verifying(house, run, workers, dask, cache or default_cache(), fresh, time_limit)
    results: dict[Path, Verification] = {}
    for folder, verification in verify_all(chosen, verifying):
        results[folder] = verification
        note(f"{len(results)}/{len(chosen)} {folder}: {verification.verdict} ({verification.seconds:.1f} s)")
    ordered = [(folder, results[folder]) for folder in chosen]
    if as_json:
        print_json([{"folder": str(folder), **verification.to_json()} for folder, verification in ordered])
    else:
        _show_verdicts(ordered)
    if any(verification.verdict is not Verdict.VERIFIED for _, verification in ordered):
        raise typer.Exit(1)


def _show_verdicts(results: list[tuple[Path, Verification]]) -> None:
    rows = [
        (folder, verification.verdict, _percent(verification.accuracy), verification.reason)
        for folder, verification in results
    ]
    show_table(("entry", "verdict", "accuracy", "why"), rows, right=(2,))


def _percent(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{100 * accuracy:.2f} %"


def find_house(
    competition: Path | None,
    *,
    data: Path | None,
    baselines: Path | None,
    truth: Path | None = None,
    manifest: str | None = None,
) -> House:
    """Returns where entries are judged: by the rules that were named, or those that lie in the current folder.

    Args:
        competition: The rules; None looks for `leaderboard/competition.toml`.
        data: The data folder.
        baselines: Folder of the baselines that models may name.
        truth: A truth table; None takes the one that the rules name.
        manifest: The benchmark; None takes the one that the rules name.

    Raises:
        InputError: The rules cannot be used.
    """
    from kwsbench.budget.limits import COMPETITION
    from kwsbench.leaderboard.rules import Rules, read_rules

    file = competition or (COMPETITION if COMPETITION.exists() else None)
    rules = Rules() if file is None else read_rules(file)
    return house_by(rules, file, data=data, baselines=baselines, truth=truth, manifest=manifest)


def house_by(
    rules: Rules,
    file: Path | None,
    *,
    data: Path | None,
    baselines: Path | None,
    truth: Path | None = None,
    manifest: str | None = None,
) -> House:
    """Returns where entries are judged by rules that are read already, from `file`; the rest as for `find_house`."""
    from kwsbench.budget.limits import find_limits
    from kwsbench.submission.judging import House

    limits = find_limits({}, competition=file)
    return House(manifest or rules.manifest, limits, rules.split, data, truth or rules.truth, baselines)

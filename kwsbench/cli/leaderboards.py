"""`kwsbench leaderboard`: build, diff, grades, similar, serve."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kwsbench.cli import options
from kwsbench.cli.output import check_outputs, note, note_next, print_json, show, show_table, working
from kwsbench.errors import InputError, reason_of

if TYPE_CHECKING:
    from kwsbench.leaderboard.board import Board
    from kwsbench.leaderboard.collect import Sources
    from kwsbench.leaderboard.grades import Grade
    from kwsbench.leaderboard.rules import Rules

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Leaderboards: build, diff, grades, similar, serve.",
    epilog=options.example("leaderboard build --out site"),
)

KEY_VARIABLE = "KWSBENCH_PRIVATE_KEY"
"""Environment variable with the key of the private part."""

_KEY_FILE = Path("private_key.txt")
_SITE = Path("site")
_MOST_KEY_BYTES = 4096

_Competition = Annotated[
    Path | None,
    typer.Option("--competition", metavar="FILE", help="Rules. Default: leaderboard/competition.toml."),
]
_Truth = Annotated[
    Path | None, typer.Option("--truth", metavar="CSV", help="Truth table. Default: the one that the rules name.")
]
_Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help=f"File with the key of the private part. Default: ${KEY_VARIABLE}, or {_KEY_FILE} if it is there.",
    ),
]
_Received = Annotated[
    Path | None,
    typer.Option("--received", metavar="CSV", help="When entries were received (key,received); counts for deadlines."),
]
_Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Where results are kept. Default: ~/.cache/kwsbench."),
]
_Workers = Annotated[
    int | None, typer.Option("--workers", min=1, metavar="N", help="Processes at once. Default: one per processor.")
]
_Verify = Annotated[
    bool, typer.Option("--verify", help="First run the models of what is new, as `kwsbench submission verify` does.")
]


@dataclass(frozen=True)
class _Given:
    """What the commands are told in common."""

    root: Path
    competition: Path | None
    data: Path | None = None
    truth: Path | None = None
    baselines: Path | None = None
    key: Path | None = None
    received: Path | None = None
    cache: Path | None = None
    workers: int | None = None
    verify: bool = False


@app.command(epilog=options.example("leaderboard build --out site"))
def build(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the site, replaced as a whole.")] = _SITE,
    root: options.Submissions = options.SUBMISSIONS,
    competition: _Competition = None,
    data: options.Data = None,
    truth: _Truth = None,
    baselines: options.Baselines = None,
    key: _Key = None,
    received: _Received = None,
    verify: _Verify = False,
    workers: _Workers = None,
    cache: _Cache = None,
    as_json: options.AsJson = False,
) -> None:
    """Scores and ranks all entries and builds the static site; the one that is there stays until the new one is whole."""
    from dataclasses import asdict

    from kwsbench.leaderboard.site.build import build_site

    given = _Given(root, competition, data, truth, baselines, key, received, cache, workers, verify)
    board = _board(given)
    with working("Writing the site"):
        built = build_site(board, out, _cache_of(given) / "pages")
    if as_json:
        record = asdict(built) | {"folder": str(built.folder), "entries": len(board.entries)}
        print_json(record | {"rejected": {one.key: list(one.reasons) for one in board.rejected}})
        return
    show(f"{built.folder}: {len(board.entries):,} entries on {built.num_pages:,} pages")
    _note_rejected(board)
    _note_not_run(board)


@app.command(epilog=options.example("leaderboard diff site"))
def diff(
    site: Annotated[Path, typer.Argument(metavar="[SITE]", help="Folder of the site that is there.")] = _SITE,
    root: options.Submissions = options.SUBMISSIONS,
    competition: _Competition = None,
    data: options.Data = None,
    truth: _Truth = None,
    baselines: options.Baselines = None,
    key: _Key = None,
    received: _Received = None,
    verify: _Verify = False,
    workers: _Workers = None,
    cache: _Cache = None,
    as_json: options.AsJson = False,
) -> None:
    """Says in words what a rebuild would change: new entries, moved ranks, changed verdicts, what has vanished."""
    from kwsbench.leaderboard.diff import changes, read_snapshot, snapshot

    old = read_snapshot(site)
    board = _board(_Given(root, competition, data, truth, baselines, key, received, cache, workers, verify))
    sentences = changes(old, snapshot(board))
    if as_json:
        print_json(sentences)
        return
    for sentence in sentences:
        show(sentence)
    if not sentences:
        show("nothing changes")


@app.command(epilog=options.example("leaderboard grades -o grades.csv"))
def grades(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="CSV", help="File to write. Default: a table on stdout.")
    ] = None,
    root: options.Submissions = options.SUBMISSIONS,
    competition: _Competition = None,
    data: options.Data = None,
    truth: _Truth = None,
    baselines: options.Baselines = None,
    key: _Key = None,
    received: _Received = None,
    verify: _Verify = False,
    workers: _Workers = None,
    cache: _Cache = None,
    as_json: options.AsJson = False,
) -> None:
    """Grades every team: best final entry, private score, band, late days, points, and how each came about."""
    from kwsbench.files import replacing
    from kwsbench.leaderboard.grades import COLUMNS, grades_csv, row_of
    from kwsbench.leaderboard.grades import grades as grades_of
    from kwsbench.score.tables import plain

    if output is not None:
        check_outputs([output], {"the rules": competition, "the key": key, "the truth": truth})
    given = _Given(root, competition, data, truth, baselines, key, received, cache, workers, verify)
    found = grades_of(_board(given, private=True))
    if output is not None:
        with replacing(output) as temporary:
            temporary.write_bytes(grades_csv(found))
    if as_json:
        print_json([plain(dict(zip(COLUMNS, row_of(grade), strict=True))) for grade in found])
    elif output is not None:
        show(f"{output}: {len(found):,} teams")
    else:
        _show_grades(found)


@app.command(epilog=options.example("leaderboard similar"))
def similar(
    root: options.Submissions = options.SUBMISSIONS,
    competition: _Competition = None,
    data: options.Data = None,
    truth: _Truth = None,
    workers: _Workers = None,
    cache: _Cache = None,
    as_json: options.AsJson = False,
) -> None:
    """Lists pairs of entries with mistakes, weights or passages in common: for a person to look at, never a verdict."""
    from dataclasses import asdict

    from kwsbench.leaderboard.similar import find_likenesses

    _, sources = _sources(_Given(root, competition, data, truth, cache=cache, workers=workers))
    found = find_likenesses(root, sources)
    if as_json:
        print_json([asdict(one) for one in found])
    elif found:
        rows = [(one.kind, one.first, one.second, f"{one.strength:.0%}", one.evidence) for one in found]
        show_table(("in common", "entry", "entry", "share", "what was found"), rows, right=(3,))
        note("This is a list of pairs to look at, not a verdict: two teams may have started from the same paper.")
    else:
        show("no two entries of different teams have more in common than chance explains")


@app.command(epilog=options.example("leaderboard serve --port 8000"))
def serve(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the site, replaced as a whole.")] = _SITE,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, metavar="N", help="Port on this machine; 0 takes a free one.")
    ] = 8000,
    root: options.Submissions = options.SUBMISSIONS,
    competition: _Competition = None,
    data: options.Data = None,
    truth: _Truth = None,
    baselines: options.Baselines = None,
    key: _Key = None,
    received: _Received = None,
    workers: _Workers = None,
    cache: _Cache = None,
) -> None:
    """Shows the site on this machine alone, and builds it again when an entry or the rules change. Ctrl-C ends it."""
    from kwsbench.leaderboard.site.build import build_site
    from kwsbench.leaderboard.site.serve import serve as serve_site

    given = _Given(root, competition, data, truth, baselines, key, received, cache, workers)
    rules, sources = _sources(given)
    watched = (root, _rules_file(given), sources.house.truth or rules.truth, key, received)

    def build_again() -> None:
        build_site(_board(given), out, _cache_of(given) / "pages")

    serve_site(build_again, out, [path for path in watched if path is not None], port=port, say=show)


def _board(given: _Given, *, private: bool = False) -> Board:
    from kwsbench.leaderboard.collect import collect
    from kwsbench.leaderboard.kept_verifications import kept_verifications, new_verifications
    from kwsbench.submission.record import find_submissions
    from kwsbench.submission.verify import Verifying, default_cache

    rules, sources = _sources(given)
    folders = find_submissions(given.root)
    kept = given.cache / "verifications" if given.cache else default_cache()
    verifying = Verifying(sources.house, workers=given.workers, cache=kept)
    if given.verify:
        verifications = new_verifications(folders, verifying)
    else:
        verifications = kept_verifications(folders, verifying, _cache_of(given) / "boards" / "verification_keys.json")
    return collect(given.root, rules, replace(sources, verifications=verifications), private=private)


def _sources(given: _Given) -> tuple[Rules, Sources]:
    from kwsbench.cli.submissions import house_by
    from kwsbench.leaderboard.collect import Sources
    from kwsbench.leaderboard.received import read_received
    from kwsbench.leaderboard.rules import read_rules

    file = _rules_file(given)
    if not file.exists():
        raise InputError(
            f"there are no rules at {file}; name them with --competition, or make some with `kwsbench init`"
        )
    rules = read_rules(file)
    house = house_by(rules, file, data=given.data, baselines=given.baselines, truth=given.truth)
    sources = Sources(
        house,
        key=_read_key(given.key),
        received=read_received(given.received) if given.received else {},
        cache=_cache_of(given) / "boards",
        jobs=given.workers or os.cpu_count() or 1,
        now=datetime.now(UTC),
    )
    return rules, sources


def _rules_file(given: _Given) -> Path:
    from kwsbench.budget.limits import COMPETITION

    return given.competition or COMPETITION


def _cache_of(given: _Given) -> Path:
    from kwsbench.submission.verify import default_cache

    return given.cache or default_cache().parent


def _read_key(file: Path | None) -> str | None:
    """The key from the file that was named, the environment, or the file that `kwsbench init` makes."""
    if file is None and os.environ.get(KEY_VARIABLE, "").strip():
        return os.environ[KEY_VARIABLE].strip()
    if file is None and not _KEY_FILE.is_file():
        return None
    path = file or _KEY_FILE
    try:
        with path.open("rb") as handle:
            return handle.read(_MOST_KEY_BYTES).decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} holds no key: it is not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"cannot read the key {path}: {reason_of(error)}") from error


def _show_grades(found: list[Grade]) -> None:
    rows: list[tuple[Any, ...]] = []
    for grade in found:
        entry, points = grade.entry, "" if grade.points is None else f"{grade.points:g}"
        place = (entry.submission.entry, f"{entry.main.value:.4f}", entry.band, entry.late_days) if entry else ("",) * 4
        rows.append((grade.team, *place, points, grade.why_points))
    show_table(("team", "entry", "score", "band", "late days", "points", "how"), rows, right=(2, 3, 4, 5))


def _note_rejected(board: Board) -> None:
    for one in board.rejected:
        note(
            f"{one.key} is rejected: {one.reasons[0]}"
            + (f" (and {len(one.reasons) - 1} more)" if one.reasons[1:] else "")
        )


def _note_not_run(board: Board) -> None:
    from kwsbench.submission.record import Verdict

    count = sum(entry.verification.verdict is Verdict.PREDICTIONS_ONLY for entry in board.entries)
    if count:
        note(f"{count:,} of {len(board.entries):,} entries are not backed by a run of their models.")
        note_next("submission", "verify", "--all")

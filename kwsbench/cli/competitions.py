"""`kwsbench init`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from kwsbench.cli import options
from kwsbench.cli.output import note, print_json, show
from kwsbench.errors import InputError

EXAMPLE = options.example("init my-course --manifest espeak_12")


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty, or not there.")],
    manifest: Annotated[
        str, typer.Option("--manifest", metavar="MANIFEST", help="The benchmark: a name, or the path of its TOML file.")
    ] = "espeak_12",
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Default: the title of the manifest.")] = "",
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Whose clocks count, such as Europe/Berlin.")
    ] = "UTC",
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="TIME", help="By those clocks: 2026-12-20T23:59:59.")
    ] = None,
    private: Annotated[
        float | None,
        typer.Option("--private", metavar="SHARE", help="Share of the speakers whose scores stay hidden: 0.5."),
    ] = None,
    data: options.Data = None,
    as_json: options.AsJson = False,
) -> None:
    """Makes a repository for a competition: rules, manifest, an example entry, guides, and workflows that run it."""
    from kwsbench.leaderboard.new_competition import KEY_FILE, Plan, make_competition

    made = make_competition(folder, Plan(manifest, title, timezone, _time(deadline), private, data))
    if as_json:
        print_json({"folder": str(made.folder), "files": list(made.files), "example_is_whole": made.example_is_whole})
        return
    show("\n".join(f"{made.folder}/{file}" for file in made.files))
    if private is not None:
        note(f"{KEY_FILE} is a secret: keep a copy, and never commit it.")
    if not made.example_is_whole:
        note("The example entry predicts nothing, because the data is not prepared here (--data).")
    note(f"Now read {made.folder / 'HOST.md'}.")


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--deadline {text!r} is no time; write it like 2026-12-20T23:59:59") from error

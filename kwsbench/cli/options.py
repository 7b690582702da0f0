"""Options that several commands share, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

SplitName = Literal["train", "validation", "test"]

SUBMISSIONS = Path("submissions")
"""Where submissions lie by default."""


def example(command: str) -> str:
    """Returns the last line of a command's help; it is not wrapped, so that it can be copied."""
    return f"\b\nExample: kwsbench {command}"


Name = Annotated[str, typer.Argument(metavar="MANIFEST", help="Name of a manifest, or the path of its TOML file.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data folder. Default: $KWSBENCH_DATA, or `data` in this folder."),
]
Manifest = Annotated[
    str | None,
    typer.Option("--manifest", metavar="MANIFEST", help="Name of a manifest, or the path of its TOML file."),
]
Split = Annotated[SplitName, typer.Option("--split", help="Split of the data set.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Baselines = Annotated[
    Path | None,
    typer.Option("--baselines", metavar="DIR", help="Folder with baselines of your own. Default: the shipped ones."),
]
Truth = Annotated[
    Path | None,
    typer.Option(
        "--truth",
        metavar="CSV",
        help="Truth table (id column, label, optional speaker_id) instead of a prepared data set.",
    ),
]
Background = Annotated[
    list[str] | None,
    typer.Option("--background", metavar="LABEL", help="Background label of the truth table; may be given again."),
]
Competition = Annotated[
    Path | None,
    typer.Option("--competition", metavar="FILE", help="Rules. Default: leaderboard/competition.toml, if there."),
]
Submissions = Annotated[Path, typer.Option("--submissions", metavar="DIR", help="Folder of all submissions.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, metavar="N", help="Seed of the random generator.")]
Replicates = Annotated[
    int, typer.Option("--replicates", min=100, metavar="N", help="Bootstrap replicates of the intervals.")
]

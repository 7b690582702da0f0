"""The root command, and the one place where errors become a message and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from kwsbench import __version__
from kwsbench.cli import (
    INTERRUPTED,
    budget,
    competitions,
    data,
    exporting,
    leaderboards,
    listening,
    listing,
    options,
    predicting,
    scoring,
    submissions,
    training,
)
from kwsbench.cli.output import note
from kwsbench.errors import InputError, KwsbenchError, reason_of

_BROKEN_PIPE = 141  # 128 and the number of SIGPIPE: what shells show of a program whose reader has gone


class _Commands(TyperGroup):
    """Renders an error once, without a traceback, and exits with its code."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=lambda name: name != "data")  # in the order of their use

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _errors_told():  # this prints help and version
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _errors_told():
            return super().invoke(ctx)


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except KwsbenchError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted; files written before are whole, and nothing was written by halves", INTERRUPTED)
    except BrokenPipeError:
        _forget_output()
        sys.exit(_BROKEN_PIPE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _forget_output()
        _fail(f"{where}{reason_of(error)}", KwsbenchError.exit_code)
    except UnicodeEncodeError as error:
        text = error.object[error.start : error.end]
        _fail(
            f"{text!a} cannot be written as {error.encoding}; set PYTHONUTF8=1, or LC_ALL=C.UTF-8",
            KwsbenchError.exit_code,
        )
    except MemoryError:
        _fail("not enough memory for this input", KwsbenchError.exit_code)


def _fail(message: str, exit_code: int) -> NoReturn:
    note(message, "bold red", "Error: ")
    sys.exit(exit_code)


def _forget_output() -> None:
    """Drops what stdout still holds back, which Python would try to write again at its end, and complain."""
    with contextlib.suppress(OSError):  # no file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"kwsbench {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=options.example("score preds.csv --manifest espeak_12"),
)


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Keyword-spotting benchmarks: prepare data, train, check a budget, predict, score, rank."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise InputError("the current folder is gone; change to one that exists") from error
    # A word in another script must not end a command on a terminal that cannot show it; stderr is like that already.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


app.add_typer(data.app, name="data")
app.command(epilog=listing.EXAMPLE)(listing.baselines)
app.command(epilog=training.EXAMPLE)(training.train)
app.command(epilog=exporting.EXAMPLE)(exporting.export)
app.command("check-budget", epilog=budget.EXAMPLE)(budget.check_budget)
app.command(epilog=predicting.EXAMPLE)(predicting.predict)
app.command(epilog=listening.EXAMPLE)(listening.listen)
app.command(epilog=scoring.SCORE_EXAMPLE)(scoring.score)
app.command(epilog=scoring.COMPARE_EXAMPLE)(scoring.compare)
app.add_typer(submissions.app, name="submission")
app.add_typer(leaderboards.app, name="leaderboard")
app.command(epilog=competitions.EXAMPLE)(competitions.init)

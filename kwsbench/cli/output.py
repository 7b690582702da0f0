"""Results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kwsbench.errors import InputError
from kwsbench.files import check_replaceable
from kwsbench.printable import printable

_WIDTH_WITHOUT_TERMINAL = 160


def print_json(record: Any) -> None:
    """Prints a result as JSON; letters that stdout cannot show are escaped."""
    shows_all = (sys.stdout.encoding or "").lower().startswith("utf")
    _write(json.dumps(record, indent=2, ensure_ascii=not shows_all) + "\n")


def show(*renderables: Any) -> None:
    """Prints text and tables for people; not cut to a width where stdout is no terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)
    with console.capture() as capture:
        for renderable in renderables:
            # A sentence or a path stays on one line: a terminal wraps it, and a program that reads it need not join it.
            console.print(renderable, markup=False, soft_wrap=isinstance(renderable, str))
    _write(capture.get())


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = ()) -> None:
    """Prints a table; the columns numbered in `right` are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    show(table)


def note(message: str, style: str = "", prefix: str = "") -> None:
    """Says something on stderr that is not the result; nobody has to listen, and no terminal is steered by it.

    Args:
        message: What to say.
        style: How a terminal shows the prefix.
        prefix: What it begins with.
    """
    from rich.console import Console
    from rich.text import Text

    with contextlib.suppress(OSError):
        console = Console(stderr=True, highlight=False)
        with console.capture() as capture:
            console.print(Text(prefix, style) + Text(printable(message, keeps="\n")), soft_wrap=True)
        sys.stderr.write(capture.get())
        sys.stderr.flush()


def note_next(*words: str, **options: Path | None) -> None:
    """Says which command comes next, as it can be typed, with the options that were given to this one."""
    given = [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]
    note(f"Next: {shlex.join(['kwsbench', *words, *given])}")


@contextlib.contextmanager
def working(title: str) -> Iterator[None]:
    """Says on a terminal what is being done while the block runs, where it cannot be said how much is left of it."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(printable(title)):
        yield


def check_outputs(outputs: Iterable[Path], inputs: Mapping[str, Path | None]) -> None:
    """Refuses files that cannot be written, before the work begins instead of after it.

    Args:
        outputs: Files that will be written.
        inputs: Files that are read, by what they are.

    Raises:
        InputError: An output is a folder or a device, lies below a file, or is one of the inputs.
    """
    for output in outputs:
        check_replaceable(output)
        above = next((parent for parent in output.parents if parent.exists()), output.parent)
        if above.exists() and not above.is_dir():
            raise InputError(f"cannot write {output}: {above} is a file, not a folder")
        for kind, given in inputs.items():
            if given is not None and output.exists() and given.exists() and output.samefile(given):
                raise InputError(f"cannot write {output}: it is {kind}, and would be lost; name another file")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

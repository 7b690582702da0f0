"""Progress bars on stderr, so that stdout stays clean for results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
"""Tells the bar that so many more units (clips, bytes, rounds) are done."""


@contextmanager
def progress(title: str, total: int | None, unit: str = "") -> Iterator[Advance]:
    """Shows a progress bar on stderr while the block runs; silent where stderr is no terminal.

    Args:
        title: What is being done, in a few words.
        total: How many units there are, or None when nobody knows yet.
        unit: `bytes` shows sizes and speed; anything else counts.

    Yields:
        A function to call with the number of units just finished.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    counts: list[ProgressColumn] = (
        [DownloadColumn(), TransferSpeedColumn()] if unit == "bytes" else [MofNCompleteColumn(), TextColumn(unit)]
    )
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *counts,
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)

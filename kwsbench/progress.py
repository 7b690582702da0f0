"""Progress bars on stderr, so that stdout stays clean for results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_Part = TypeVar("_Part", bound=Sized)
_Result = TypeVar("_Result")

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


def each_in_parallel(
    function: Callable[[_Part], _Result], parts: Sequence[_Part], title: str, unit: str
) -> Iterator[_Result]:
    """Yields `function(part)` for every part, in order, computed on all processors under a progress bar.

    What has not begun is cancelled when a part fails or the caller stops.

    Args:
        function: What to do with a part; it should spend its time outside of Python's lock.
        parts: The work, cut into pieces; the bar counts what they hold.
        title: What is being done, in a few words.
        unit: What the parts hold.
    """
    total = sum(len(part) for part in parts)
    with progress(title, total, unit) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for part, result in zip(parts, pool.map(function, parts), strict=True):
                yield result
                advance(len(part))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise

"""`kwsbench baselines`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from kwsbench.cli import options
from kwsbench.cli.output import note, print_json, show
from kwsbench.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

    from kwsbench.baseline_facts import BaselineFacts

EXAMPLE = options.example("baselines")

_COLUMNS = ("name", "source", "parameters", "MACs", "published\naccuracy", "measured\naccuracy")
_SOURCE = _COLUMNS.index("source")
_COUNTS = (2, 3)
_ACCURACIES = (4, 5)
_NARROWEST_SOURCE = 16
_GAP = 2


def baselines(folder: options.Baselines = None, as_json: options.AsJson = False) -> None:
    """Lists the baselines: source, size, and how accurate each is said to be and was found to be, in percent.

    Parameters and MACs are those that a file states: for 12 labels and one second of audio.
    """
    from kwsbench.baseline_facts import list_baselines

    found = list_baselines(folder)
    if as_json:
        print_json([_record(facts) for facts in found])
    elif found:
        show(_View([_row(facts) for facts in found]))
    else:
        note(f"No baselines in {folder}: a baseline is a file NAME.py.")


def _record(facts: BaselineFacts) -> dict[str, Any]:
    return {
        "name": facts.name,
        "file": str(facts.path),
        "source": facts.source,
        "num_parameters": facts.num_parameters,
        "macs": facts.macs,
        "published_accuracy": dict(facts.published_accuracy),
        "measured_accuracy": dict(facts.measured_accuracy),
        "problem": facts.problem or None,
    }


def _row(facts: BaselineFacts) -> tuple[str, ...]:
    from kwsbench.baseline_facts import short_source

    said = "; ".join(filter(None, (short_source(facts.source), facts.problem)))
    counts = ("" if count is None else f"{count:,}" for count in (facts.num_parameters, facts.macs))
    published = (f"{percent:.1f} {manifest}" for manifest, percent in facts.published_accuracy.items())
    measured = (f"{percent:.2f} {manifest}" for manifest, percent in facts.measured_accuracy.items())
    cells = (facts.name, said, *counts, "\n".join(published), "\n".join(measured))
    return tuple(printable(cell, keeps="\n") for cell in cells)


class _View:
    """A table, in which sources may be wrapped, or a paragraph per baseline where that is wider than the terminal."""

    def __init__(self, rows: list[tuple[str, ...]]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, console_options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        widths = [self._width(number) for number in range(len(_COLUMNS))]
        if sum(widths) + _GAP * len(widths) <= console_options.max_width:
            yield self._table()
            return
        for row in self._rows:
            yield Text(_paragraph(row))

    def _width(self, number: int) -> int:
        if number == _SOURCE:
            return _NARROWEST_SOURCE
        cells = (_COLUMNS[number], *(row[number] for row in self._rows))
        return max(len(line) for cell in cells for line in cell.split("\n"))

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
        for number, column in enumerate(_COLUMNS):
            justify: Literal["left", "right"] = "right" if number in _COUNTS else "left"
            table.add_column(column, justify=justify, no_wrap=number != _SOURCE, overflow="fold")
        for row in self._rows:
            table.add_row(*map(Text, row))
        return table


def _paragraph(row: tuple[str, ...]) -> str:
    """A row as one sentence, with what there is."""
    cells = [cell.replace("\n", ", ") for cell in row]
    counts = (f"{cells[number]} {_COLUMNS[number]}" for number in _COUNTS if cells[number])
    accuracies = (f"{_COLUMNS[number].split()[0]} {cells[number]}" for number in _ACCURACIES if cells[number])
    known = "; ".join(filter(None, (cells[_SOURCE], *counts, *accuracies)))
    return f"{cells[0]}: {known}" if known else cells[0]

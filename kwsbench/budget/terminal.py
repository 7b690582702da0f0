"""A budget report as text and tables for a terminal; colours and widths are the terminal's, NO_COLOR is respected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kwsbench.budget.hints import Ranked, headroom, hints, most_expensive
from kwsbench.budget.report import Count, Report, Verdict
from kwsbench.budget.verdict import Figure, amount, explain, figures_of, percent
from kwsbench.printable import printable

_STYLES = {
    Verdict.WITHIN: "bold green",
    Verdict.OVER: "bold red",
    Verdict.CANNOT_CERTIFY: "bold yellow",
    Verdict.NO_LIMITS: "bold",
}
_TITLES = {
    "params": "parameters",
    "macs": "MACs per second",
    "weight_bytes": "weight bytes",
    "peak_activation_bytes": "peak activation bytes",
    "macs_above_8_bit": "MACs above 8 bit",
    "front_end_macs": "front-end MACs",
    "receptive_field_s": "receptive field in s",
    "latency_ms": "latency in ms",
}
_FACTS = frozenset({"macs_above_8_bit", "front_end_macs", "receptive_field_s"})
"""Figures that stand in sentences below the table, and in the table where they are limited."""
_USUAL_WIDTH = "32x32"
_LONGEST_NAME = 48
_UNLIMITED = 10_000


@dataclass
class FittingTable:
    """A table, or a line per row where it is wider than the terminal: a figure is never cut or broken.

    Attributes:
        columns: Their titles.
        left: Numbers of the columns that hold names; all others hold figures.
        rows: Cells, row by row, and the style of each row.
    """

    columns: Sequence[str]
    left: Sequence[int] = (0,)
    rows: list[tuple[Sequence[str], str]] = field(default_factory=list)

    def add(self, *cells: str, style: str = "") -> None:
        """Adds a row; what could steer a terminal in its cells is shown as a question mark."""
        self.rows.append((tuple(map(printable, cells)), style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        table = self._table()
        wanted = Measurement.get(console, options.update(max_width=_UNLIMITED), table).maximum
        if wanted <= options.max_width:
            yield table
        else:
            yield from (Text(self._line(cells), style) for cells, style in self.rows)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="left" if number in self.left else "right", no_wrap=True)
        for cells, style in self.rows:
            table.add_row(*map(Text, cells), style=style)
        return table

    def _line(self, cells: Sequence[str]) -> str:
        filled = [f"{column} {cell}".strip() for column, cell in zip(self.columns, cells, strict=True) if cell]
        return ", ".join(filled)


def report_view(report: Report, *, with_layers: bool = False) -> tuple[RenderableType, ...]:
    """Returns a report as it is shown after `kwsbench check-budget`, piece by piece; sentences are plain strings.

    Args:
        report: The report.
        with_layers: Whether every layer is shown with both of its counts.
    """
    return (
        printable(f"{report.model} ({report.format}){_input_of(report)}"),
        _figures(report),
        *_facts(report),
        Text(str(report.verdict).upper(), _STYLES[report.verdict]),
        *map(printable, _sentences(report)),
        *_most_expensive(report),
        *(printable(f"Hint: {hint}.") for hint in hints(report)),
        *([_layers(report)] if with_layers else []),
    )


def _name(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"…{text[1 - _LONGEST_NAME :]}"


def _input_of(report: Report) -> str:
    if report.input_shape is None:
        return ""
    seconds = "" if report.input_seconds is None else f", {report.input_seconds:g} s of audio"
    return f", on input ({', '.join(map(str, report.input_shape))}){seconds}"


def _figures(report: Report) -> FittingTable:
    table = FittingTable(("", "thop", "audit", "counted", "limit", "headroom"))
    for figure in figures_of(report):
        if not _has_row(figure):
            continue
        table.add(
            _TITLES[figure.name],
            _count_of(report.thop, figure.name),
            _count_of(report.audit, figure.name),
            amount(figure.value) if figure.applies else "n/a",
            "" if figure.limit is None else amount(figure.limit),
            _headroom(figure),
            style="red" if figure.over else "",
        )
    return table


def _has_row(figure: Figure) -> bool:
    if figure.limit is not None or figure.name in Count.model_fields:
        return True
    return figure.value is not None and figure.name not in _FACTS


def _count_of(count: Count | None, name: str) -> str:
    if name not in Count.model_fields:
        return ""
    return "-" if count is None or getattr(count, name) is None else amount(getattr(count, name))


def _headroom(figure: Figure) -> str:
    if figure.headroom is None or figure.share is None:
        return "?" if figure.open else ""
    if figure.over:
        return f"over by {percent(-figure.share)}"
    return f"{amount(figure.headroom)} ({percent(figure.share)})"


def _facts(report: Report) -> Iterator[str]:
    if report.front_end is not None:
        macs = f", {amount(report.front_end.macs)} MACs per second" if report.front_end.macs is not None else ""
        yield f"Front-end, not counted above: {amount(report.front_end.params)} stored numbers{macs}"
    if report.receptive_field_frames is not None:
        seconds = "" if report.receptive_field_s is None else f", {report.receptive_field_s:.3g} s"
        yield f"Receptive field: {amount(report.receptive_field_frames)} frames{seconds}"
    if set(report.macs_by_width) - {_USUAL_WIDTH}:
        widths = ", ".join(f"{width} {amount(macs)}" for width, macs in report.macs_by_width.items())
        yield printable(f"MACs by width in bits, weight first: {widths}")
    if report.probes:
        yield printable(f"Executed on {', '.join(report.probes)}")
    if report.tree_leaves is not None:
        nodes, leaves = amount(report.tree_nodes), amount(report.tree_leaves)
        comparisons = amount(report.comparisons_per_clip)
        yield f"Trees: {nodes} inner nodes, {leaves} leaves, at most {comparisons} comparisons per clip"


def _sentences(report: Report) -> Iterator[str]:
    yield from explain(report)
    room = headroom(report)
    if room:
        yield f"You may add {', '.join(room)}."
    for finding in sorted(report.findings, key=lambda finding: not finding.blocks):
        yield f"{'Blocks' if finding.blocks else 'Note'}: {finding.message}"


def _most_expensive(report: Report) -> Iterator[FittingTable]:
    ranked = most_expensive(report.layers, "macs"), most_expensive(report.layers, "params")
    if not any(ranked):
        return
    table = FittingTable(("most MACs", "MACs", "share", "most parameters", "parameters", "share"), left=(0, 3))
    for place in range(max(map(len, ranked))):
        table.add(*(cell for one in ranked for cell in _rank(one, place)))
    yield table


def _rank(ranked: tuple[Ranked, ...], place: int) -> tuple[str, str, str]:
    if place >= len(ranked):
        return "", "", ""
    one = ranked[place]
    return _name(" ".join(dict.fromkeys((one.layer.name, one.layer.kind)))), amount(one.cost), percent(one.share)


def _layers(report: Report) -> FittingTable:
    columns = ("layer", "kind", "params", "thop params", "MACs", "thop MACs", "weight bytes")
    table = FittingTable(columns, left=(0, 1))
    for layer in report.layers:
        counts = (layer.params, layer.thop_params, layer.macs, layer.thop_macs, layer.weight_bytes)
        cells = ("-" if count is None else amount(count) for count in counts)
        table.add(_name(layer.name), _name(layer.kind), *cells)
    return table

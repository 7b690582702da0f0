"""`kwsbench listen`."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kwsbench.cli import options
from kwsbench.cli.output import note, show
from kwsbench.listen import REFRACTORY_S, SHIFT_S, SMOOTH, THRESHOLD
from kwsbench.printable import printable

if TYPE_CHECKING:
    from kwsbench.listen.alarms import Alarm, Reading, Rules
    from kwsbench.predict import Model

EXAMPLE = options.example("listen models/espeak_12/mfcc_lightgbm.txt recording.wav")

_BAR_CELLS = 20
_BETWEEN_UPDATES_S = 0.05


def listen(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A trained model.")],
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Audio of any length. Default: the microphone.")
    ] = None,
    shift_s: Annotated[float, typer.Option("--shift-s", metavar="S", help="Time between two windows.")] = SHIFT_S,
    smooth: Annotated[int, typer.Option("--smooth", metavar="N", help="Average the scores of N windows.")] = SMOOTH,
    threshold: Annotated[
        float, typer.Option("--threshold", metavar="X", help="Least smoothed score, 0 to 1.")
    ] = THRESHOLD,
    refractory_s: Annotated[
        float, typer.Option("--refractory-s", metavar="S", help="Time in which a keyword raises no second alarm.")
    ] = REFRACTORY_S,
    baselines: options.Baselines = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each alarm as JSON, one per line.")] = False,
) -> None:
    """Listens to the microphone or to audio files, and prints an alarm for each keyword: time, keyword, score.

    A window of the model's length slides over the audio. The time is where the window ends that raised the alarm.
    """
    from kwsbench.listen.alarms import Rules
    from kwsbench.listen.sound_files import check_sound_file
    from kwsbench.predict import load_model

    for path in inputs or ():
        check_sound_file(path)
    loaded = load_model(model, baselines)
    rules = Rules.of_model(
        loaded.header, shift_s=shift_s, smooth=smooth, threshold=threshold, refractory_s=refractory_s
    )
    if inputs:
        _hear_files(loaded, rules, inputs, as_json=as_json)
    else:
        _hear_microphone(loaded, rules, as_json=as_json)


def _hear_files(model: Model, rules: Rules, paths: list[Path], *, as_json: bool) -> None:
    from kwsbench.listen.alarms import listen as readings_of
    from kwsbench.listen.alarms import score_with
    from kwsbench.listen.sound_files import stream_file

    rate_hz = model.header.sample_rate_hz
    for path in paths:
        prefix = f"{printable(str(path))}: " if len(paths) > 1 else ""
        teller = _Teller(model, prefix, {"file": str(path)}, as_json=as_json)
        with _live_line() as live:
            teller.tell_all(readings_of(stream_file(path, rate_hz), score_with(model), rules), live)
        note(f"{path}: {teller.summary()}")


def _hear_microphone(model: Model, rules: Rules, *, as_json: bool) -> None:
    import numpy as np

    from kwsbench.listen.alarms import listen as readings_of
    from kwsbench.listen.alarms import score_with
    from kwsbench.listen.microphone import open_microphone

    score = score_with(model)
    score(np.zeros((1, rules.window_samples), np.float32))  # what it loads is loaded before anybody speaks
    teller = _Teller(model, "", {"file": None}, as_json=as_json)
    with open_microphone(model.header.sample_rate_hz, note) as microphone:
        note(f"Listening to {microphone.name}; Ctrl-C ends it.")
        with contextlib.suppress(KeyboardInterrupt), _live_line() as live:
            teller.tell_all(readings_of(microphone.blocks, score, rules), live)
    note(teller.summary())


class _Teller:
    """Prints alarms as they come, and counts them."""

    def __init__(self, model: Model, prefix: str, record: dict[str, Any], *, as_json: bool) -> None:
        self._labels = model.header.labels
        self._rate_hz = model.header.sample_rate_hz
        self._prefix = prefix
        self._record = record
        self._as_json = as_json
        self._num_alarms = 0
        self._heard_s = 0.0

    def tell_all(self, readings: Iterable[Reading], live: _LiveLine) -> None:
        for reading in readings:
            self._heard_s = reading.end_sample / self._rate_hz
            for alarm in reading.alarms:
                live.clear()
                self._tell(alarm)
            best = reading.scores.argmax()
            live.update(self._heard_s, self._labels[best], float(reading.scores[best]))

    def summary(self) -> str:
        alarms = f"{self._num_alarms:,} alarm{'' if self._num_alarms == 1 else 's'}"
        return f"{alarms} in {self._heard_s:,.1f} s"

    def _tell(self, alarm: Alarm) -> None:
        time_s = alarm.end_sample / self._rate_hz
        if self._as_json:
            record = self._record | {"time_s": time_s, "keyword": alarm.keyword, "score": alarm.score}
            sys.stdout.write(json.dumps(record) + "\n")
            sys.stdout.flush()
        else:
            show(f"{self._prefix}{time_s:.1f} s  {printable(alarm.keyword)}  {alarm.score:.2f}")
        self._num_alarms += 1


class _LiveLine:
    """One line of a terminal that is written again and again: time, likeliest label, a bar."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._is_shown = self._console.is_terminal and not self._console.is_dumb_terminal
        self._due = 0.0

    def update(self, time_s: float, label: str, score: float) -> None:
        """Shows a reading, but not more of them than an eye can follow."""
        from rich.text import Text

        if not self._is_shown or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _BETWEEN_UPDATES_S
        full, empty = "#-" if self._console.options.ascii_only else "█░"
        cells = round(score * _BAR_CELLS)
        line = Text(f"{time_s:.1f} s  {full * cells}{empty * (_BAR_CELLS - cells)}  {score:.2f}  {printable(label)}")
        line.truncate(self._console.width - 1)
        self.clear()
        self._console.print(line, end="")

    def clear(self) -> None:
        """Leaves the line empty, for an alarm or for good."""
        from rich.control import Control
        from rich.segment import ControlType

        if self._is_shown:
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))


@contextlib.contextmanager
def _live_line() -> Iterator[_LiveLine]:
    live = _LiveLine()
    try:
        yield live
    finally:
        live.clear()

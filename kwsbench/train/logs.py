"""The log of a run, as a table and for TensorBoard; both are made from the history, so that they never disagree."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kwsbench.errors import InputError
from kwsbench.extras import require_installed
from kwsbench.files import replacing
from kwsbench.train.history import EpochRecord

_COLUMNS = tuple(field.name for field in dataclasses.fields(EpochRecord))
_CHARTS = {
    "learning_rate": "learning_rate",
    "training_loss": "loss/training",
    "validation_loss": "loss/validation",
    "training_accuracy": "accuracy/training",
    "validation_accuracy": "accuracy/validation",
    "validation_balanced_accuracy": "balanced_accuracy/validation",
    "seconds": "seconds",
}


def write_csv(path: Path, history: Sequence[EpochRecord]) -> None:
    """Writes one row per epoch. Raises InputError where the file cannot be written."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows([_cell(value) for value in dataclasses.astuple(record)] for record in history)


def _cell(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


class TensorBoardLog:
    """Writes the history as TensorBoard reads it, where TensorBoard is installed.

    A run that goes on writes its earlier epochs again in the place of what the earlier process wrote: that may hold
    an epoch that was never finished.

    Attributes:
        missing: Why nothing is written; empty where it is.
    """

    def __init__(self, folder: Path, history: Sequence[EpochRecord]) -> None:
        self._writer: Any = None
        self.missing = ""
        try:
            require_installed("tensorboard", "train", "TensorBoard")
            self._writer = _writer_in(folder)
        except (InputError, ImportError, OSError) as error:
            self.missing = f"no log for TensorBoard is written: {error}"
        for record in history:
            self.add(record)

    def add(self, record: EpochRecord) -> None:
        """Writes an epoch."""
        if self._writer is None:
            return
        with contextlib.suppress(OSError):  # a full disk is told where the state is written
            for field, chart in _CHARTS.items():
                self._writer.add_scalar(chart, getattr(record, field), record.epoch)
            self._writer.flush()

    def close(self) -> None:
        """Ends the log."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()


def _writer_in(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    for earlier in folder.glob("events.out.tfevents.*"):
        earlier.unlink(missing_ok=True)
    return SummaryWriter(str(folder))

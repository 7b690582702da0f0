"""What a run leaves in its folder, and that one run at a time writes there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kwsbench.checkpoint.network import NetworkCheckpoint, save_network
from kwsbench.errors import InputError, reason_of
from kwsbench.files import check_replaceable, replacing
from kwsbench.locks import refusing_others
from kwsbench.train.card import CardFacts, model_card
from kwsbench.train.fingerprint import Fingerprint
from kwsbench.train.logs import write_csv
from kwsbench.train.state import RunState, load_state, save_state

BEST, LAST, STATE, LOG, CARD, CHARTS = "model.pt", "last.pt", "state.pt", "log.csv", "card.md", "tensorboard"
"""Weights of the best epoch and of the last, what a run goes on from, its log, its card, its log for TensorBoard."""

_FILES = (BEST, LAST, STATE, LOG, CARD)


@dataclass(frozen=True)
class Results:
    """The folder of a run.

    Attributes:
        folder: The folder.
        facts: What the card states.
        fingerprint: What the run is determined by.
    """

    folder: Path
    facts: CardFacts
    fingerprint: Fingerprint

    def earlier(self) -> RunState | None:
        """Returns the state of an earlier run with the same fingerprint; raises as `load_state` does."""
        path = self.folder / STATE
        return load_state(path, self.fingerprint) if path.exists() else None

    def forget(self) -> None:
        """Removes the state of an earlier run; its other results stay until new ones take their place."""
        (self.folder / STATE).unlink(missing_ok=True)

    def keep(self, state: RunState) -> None:
        """Writes the state, which counts from then on, and after it what is made from it."""
        save_state(self.folder / STATE, state, self.fingerprint)
        self.publish(state)

    def publish(self, state: RunState) -> None:
        """Makes the models, the log and the card from a state."""
        save_network(self.folder / BEST, NetworkCheckpoint(self.facts.header, state.best))
        save_network(self.folder / LAST, NetworkCheckpoint(self.facts.header, state.last))
        write_csv(self.folder / LOG, state.history)
        card = model_card(self.facts, state.history, state.best)
        with replacing(self.folder / CARD) as temporary:
            temporary.write_text(card, encoding="utf-8")


def check_folder(folder: Path) -> None:
    """Raises InputError where results cannot take their places, because a folder or a device is there."""
    for name in _FILES:
        check_replaceable(folder / name)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Makes a folder, keeps other runs out of it while the block runs, and removes what a killed one left half-written.

    Raises:
        InputError: Another run writes there now, or the folder cannot be written to.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(refusing_others(folder, _busy(folder)))
        except OSError as error:
            raise InputError(f"cannot write into {folder}: {reason_of(error)}") from error
        for name in _FILES:
            for left in folder.glob(f".{name}.*.tmp"):
                left.unlink(missing_ok=True)
        yield


def _busy(folder: Path) -> str:
    return f"another training writes into {folder} now; wait for it, or name another folder with --output"

"""The networks that benchmarks measure: the shipped architectures with the weights that they start from."""

from __future__ import annotations

from pathlib import Path

from kwsbench.baseline import load_baseline, require_torch
from kwsbench.catalogue import find_manifest
from kwsbench.checkpoint.network import NetworkCheckpoint, save_network
from kwsbench.runtime.networks import untrained_checkpoint


def untrained(name: str) -> NetworkCheckpoint:
    """Returns an architecture for the 12 labels of Speech Commands v2."""
    return untrained_checkpoint(require_torch(load_baseline(name)), find_manifest("speech_commands_v2_12")[0])


def write_untrained(name: str, path: str) -> None:
    """Writes it as a checkpoint."""
    save_network(Path(path), untrained(name))

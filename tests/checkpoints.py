"""kwsbench checkpoints for tests: shipped architectures with random weights from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kwsbench.baseline import load_baseline, require_torch
from kwsbench.catalogue import find_manifest
from kwsbench.checkpoint.network import NetworkCheckpoint, save_network
from kwsbench.manifest import Manifest
from kwsbench.runtime.networks import untrained_checkpoint


def checkpoint_of(name: str, manifest: Manifest | None = None, **settings: Any) -> NetworkCheckpoint:
    """An architecture for the labels and clips of a manifest (default: the 12 labels of Speech Commands v2)."""
    baseline = require_torch(load_baseline(name))
    return untrained_checkpoint(
        baseline, manifest or find_manifest("speech_commands_v2_12")[0], baseline.Config(**settings)
    )


def write_checkpoint(path: Path, name: str = "conv1d_sber", manifest: Manifest | None = None) -> Path:
    """Writes such a checkpoint."""
    save_network(path, checkpoint_of(name, manifest))
    return path

"""kwsbench checkpoints for tests: shipped architectures with random weights from a seed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from kwsbench.baseline import build_network, load_baseline
from kwsbench.catalogue import find_manifest
from kwsbench.checkpoint.header import ModelHeader
from kwsbench.checkpoint.network import NetworkCheckpoint, save_network
from kwsbench.manifest import Manifest
from kwsbench.runtime.networks import input_shape_of


def checkpoint_of(name: str, manifest: Manifest | None = None, **settings: Any) -> NetworkCheckpoint:
    """An architecture for the labels and clips of a manifest (default: the 12 labels of Speech Commands v2)."""
    manifest = manifest or find_manifest("speech_commands_v2_12")[0]
    baseline = load_baseline(name)
    config = baseline.Config(**settings)
    header = ModelHeader(
        baseline=name,
        config=dataclasses.asdict(config),
        labels=manifest.labels,
        num_keywords=len(manifest.keywords),
        front_end=baseline.front_end(config, manifest.front_end),
        sample_rate_hz=manifest.sample_rate_hz,
        clip_samples=manifest.clip_samples,
        manifest=manifest.name,
        revision=manifest.revision,
        clips_sha256="",
        seed=0,
        kwsbench_version="0",
    )
    torch.manual_seed(0)
    network = build_network(baseline, config, len(manifest.labels), *input_shape_of(header))
    return NetworkCheckpoint(header, network.state_dict())


def write_checkpoint(path: Path, name: str = "conv1d_sber", manifest: Manifest | None = None) -> Path:
    """Writes such a checkpoint."""
    save_network(path, checkpoint_of(name, manifest))
    return path

"""Where a network is trained: processor or GPUs, through Lightning Fabric, and so that a run can be had again."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from kwsbench.errors import InputError
from kwsbench.extras import import_extra
from kwsbench.train.options import TrainingOptions

_MOST_THREADS_FOR_CLIPS = 4  # batches are made ahead for each of them, and take memory
_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}


def open_fabric(options: TrainingOptions) -> Any:
    """Returns the Fabric of a run; with several devices it has started the other processes.

    Raises:
        InputError: Lightning Fabric is not installed, or there are not so many GPUs.
    """
    lightning = import_extra("lightning_fabric", "train", "Lightning Fabric")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = lightning.Fabric(
        accelerator=_accelerator(options),
        devices=options.devices,
        num_nodes=options.nodes,
        precision=_PRECISIONS[options.precision],
    )
    fabric.launch()
    return fabric


def _accelerator(options: TrainingOptions) -> str:
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if options.device == "cpu" or (options.device == "auto" and not num_gpus):
        return "cpu"
    if options.devices > num_gpus:
        found = f"PyTorch finds {num_gpus or 'none'} here"
        raise InputError(f"{options.devices} GPUs are asked for and {found}; use --device cpu, or fewer --devices")
    return "cuda"


@contextmanager
def repeatable(num_threads: int | None) -> Iterator[None]:
    """Makes torch compute the same each time on one machine while the block runs; puts everything back after it.

    Args:
        num_threads: Threads on the processor; None for torch's own choice but a quarter, at least one, which is left to
            those that read and augment clips meanwhile: with all of them small networks take up to twice as long
            (`benchmarks/epoch_time.py --threads 2` on two processors).
    """
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
        try:
            torch.set_num_threads(num_threads or max(1, threads - max(1, threads // 4)))
            torch.use_deterministic_algorithms(mode=True, warn_only=True)
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            yield
        finally:
            torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
            torch.use_deterministic_algorithms(deterministic)
            torch.set_num_threads(threads)


def threads_for_clips() -> int:
    """Returns how many threads read and augment clips: as many as there are processors left, at least one."""
    return min(_MOST_THREADS_FOR_CLIPS, max(1, (os.cpu_count() or 1) - torch.get_num_threads()))

"""Front-ends in torch against those of the scorer: batches of 100 clips, on one processor and on all, and on a GPU.

    python benchmarks/front_end_torch.py speech_commands_v2_12 --data data

The manifest must be prepared. The scorer's front-end runs on one processor; rounds alternate, figures are medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kwsbench.baseline import load_baseline, require_torch
from kwsbench.dataset.clips import open_dataset
from kwsbench.dataset.few_clips import few_clips
from kwsbench.dataset.places import places
from kwsbench.features import extract
from kwsbench.front_end import FrontEnd
from kwsbench.torch_front_end import torch_front_end

BATCH_SIZE = 100
BASELINES = ("bc_resnet_1", "conv1d_sber", "tc_resnet8", "ds_cnn_s")

Batches = list[NDArray[np.float32]]


def by_scorer(batches: Batches, front_end: FrontEnd, rate_hz: int) -> NDArray[np.float32]:
    """All batches through `features.extract`."""
    return np.concatenate([extract(batch, front_end, rate_hz) for batch in batches])


@torch.inference_mode()
def by_torch(batches: Batches, module: torch.nn.Module, device: str, num_threads: int) -> NDArray[np.float32]:
    """All batches through the module, there and back."""
    torch.set_num_threads(num_threads)
    heard: NDArray[np.float32] = (
        torch.cat([module(torch.from_numpy(batch).to(device)) for batch in batches]).cpu().numpy()
    )
    return heard


def contestants(batches: Batches, front_end: FrontEnd, rate_hz: int) -> dict[str, Callable[[], NDArray[np.float32]]]:
    """What is compared, the reference first."""
    module = torch_front_end(front_end, rate_hz)
    all_threads = os.cpu_count() or 1
    found: dict[str, Callable[[], NDArray[np.float32]]] = {
        "features.extract": partial(by_scorer, batches, front_end, rate_hz),
        "torch, 1 thread": partial(by_torch, batches, module, "cpu", 1),
        f"torch, {all_threads} threads": partial(by_torch, batches, module, "cpu", all_threads),
    }
    if torch.cuda.is_available():
        on_gpu = torch_front_end(front_end, rate_hz).to("cuda")
        found["torch, GPU"] = partial(by_torch, batches, on_gpu, "cuda", 1)
    return found


def compare(compared: Mapping[str, Callable[[], NDArray[np.float32]]], num_batches: int, rounds: int) -> None:
    """Prints the time per batch of each, its ratio to the first, and its largest difference from the first."""
    results = {name: compute() for name, compute in compared.items()}  # warms up, too
    times_s: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(rounds):
        for name, compute in compared.items():
            start = time.perf_counter()
            compute()
            times_s[name].append(time.perf_counter() - start)
    reference = next(iter(compared))
    for name, measured in times_s.items():
        ratio = statistics.median(mine / other for mine, other in zip(measured, times_s[reference], strict=True))
        difference = float(np.abs(results[name] - results[reference]).max())
        batch_ms = 1e3 * statistics.median(measured) / num_batches
        print(f"  {name:<18} {batch_ms:7.2f} ms per batch  {ratio:5.2f} x {reference}  differs by {difference:.1e}")


def main() -> None:
    """Compares the front-ends of some baselines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", help="name of a prepared manifest")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.manifest, places(arguments.data))
    clips = few_clips(dataset, BATCH_SIZE * arguments.batches)
    batches = [clips[start : start + BATCH_SIZE] for start in range(0, len(clips), BATCH_SIZE)]
    for name in BASELINES:
        baseline = require_torch(load_baseline(name))
        front_end = baseline.front_end(baseline.Config(), dataset.manifest.front_end)
        print(f"{name}: {front_end.kind}, n_fft {front_end.n_fft}, {front_end.num_mels} mels, {len(batches)} batches")
        compare(contestants(batches, front_end, dataset.manifest.sample_rate_hz), len(batches), arguments.rounds)


if __name__ == "__main__":
    main()

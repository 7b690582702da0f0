"""How long an epoch takes beside the forward and backward passes that it cannot do without.

    python benchmarks/epoch_time.py speech_commands_v1_10 bc_resnet_1 tc_resnet8 --data data --threads 2

An epoch is what `kwsbench train` does: reading, augmentation, front-end, forward, backward, optimiser. The passes alone
run on features of as many clips that were made before. Both are timed in turn; figures are medians, in seconds for the
whole training split.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kwsbench.baseline import TorchBaseline, load_baseline, require_torch
from kwsbench.dataset.cache import open_cache
from kwsbench.dataset.clips import PreparedDataset, open_dataset
from kwsbench.dataset.few_clips import few_clips
from kwsbench.dataset.places import places
from kwsbench.recipe import Recipe
from kwsbench.runtime.networks import network_of_checkpoint, untrained_checkpoint
from kwsbench.torch_front_end import torch_front_end
from kwsbench.train.network import train_network
from kwsbench.train.optimisers import optimiser_of
from kwsbench.train.options import TrainingOptions
from kwsbench.train.recipes import recipe_of

PASSES = 20


def main() -> None:
    """Prints a row per baseline."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    dataset = open_dataset(arguments.manifest, places(arguments.data))
    num_clips = len(open_cache(dataset, "train"))
    print("| baseline | epoch | passes alone | ratio |\n|---|---:|---:|---:|")
    for name in arguments.baselines:
        baseline = require_torch(load_baseline(name))
        recipe = recipe_of(baseline, baseline.Config(), ["epochs=1"])
        passes = _passes(baseline, recipe, dataset)
        rounds = [
            (
                _epoch_s(baseline, recipe, dataset, arguments.threads),
                passes() * num_clips / (PASSES * recipe.batch_size),
            )
            for _ in range(arguments.rounds)
        ]
        epoch_s, passes_s = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(epoch / alone for epoch, alone in rounds)
        print(f"| `{name}` | {epoch_s:.1f} s | {passes_s:.1f} s | {ratio:.2f} |", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", help="name of a prepared manifest")
    parser.add_argument("baselines", nargs="+")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _epoch_s(baseline: TorchBaseline, recipe: Recipe, dataset: PreparedDataset, threads: int) -> float:
    """Seconds of one epoch, with what `train` does at its end: validation, and writing what was learnt."""
    options = TrainingOptions(num_threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        return train_network(baseline, baseline.Config(), recipe, dataset, Path(folder), options).history[0].seconds


def _passes(baseline: TorchBaseline, recipe: Recipe, dataset: PreparedDataset) -> Callable[[], float]:
    """Returns what trains on one batch of features, `PASSES` times, and gives the seconds that it took."""
    checkpoint = untrained_checkpoint(baseline, dataset.manifest)
    network: Any = network_of_checkpoint(checkpoint).train().to(memory_format=torch.channels_last)
    front_end = torch_front_end(checkpoint.header.front_end, dataset.manifest.sample_rate_hz)
    features = front_end(torch.from_numpy(few_clips(dataset, recipe.batch_size, "train")))
    labels = torch.arange(len(features)) % len(dataset.manifest.labels)
    optimiser = optimiser_of(recipe, network.parameters())

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(features), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def timed() -> float:
        started = time.perf_counter()
        for _ in range(PASSES):
            step()
        return time.perf_counter() - started

    step()
    return timed


if __name__ == "__main__":
    main()

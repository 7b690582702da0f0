"""How long each part of augmentation takes for 100 clips of a second, beside a training step of bc_resnet_1 on them.

python benchmarks/augmentation.py
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from kwsbench.augmentation import augment_features, augment_samples
from kwsbench.baseline import load_baseline, require_torch
from kwsbench.budget.latency import median_latency_ms
from kwsbench.recipe import Augmentation

CLIPS, RATE_HZ = 100, 16_000
COEFFICIENTS, FRAMES, FRAMES_PER_S, LABELS = 40, 101, 100.0, 12
BUDGET_S = 3.0
OF_SAMPLES = {
    "nothing": Augmentation(),
    "time shift": Augmentation(shift_s=0.1),
    "speed": Augmentation(speed=(0.9, 1.1)),
    "pitch": Augmentation(pitch_semitones=(-2.0, 2.0)),
    "reverberation": Augmentation(reverberation_s=(0.1, 0.5)),
    "noise": Augmentation(noise_snr_db=(0.0, 15.0), noise_probability=1.0),
    "gain": Augmentation(gain_db=(-6.0, 6.0)),
}
OF_FEATURES = {
    "time masks": Augmentation(time_masks=2, time_mask_s=0.2),
    "frequency masks": Augmentation(frequency_masks=2, frequency_mask_bands=7),
    "time roll": Augmentation(roll_s=0.1),
}


def main() -> None:
    """Prints the median time of each on one core, and its share of the step."""
    step_ms = median_latency_ms(_training_step(), BUDGET_S)
    print(f"{'bc_resnet_1 there and back':<28}{step_ms:8.1f} ms")
    for name, run in _parts().items():
        part_ms = median_latency_ms(run, BUDGET_S)
        print(f"{name:<28}{part_ms:8.1f} ms  {part_ms / step_ms:6.1%} of that")


def _training_step() -> Callable[[], object]:
    """The forward and the backward pass of a batch, without the optimiser's step."""
    baseline = require_torch(load_baseline("bc_resnet_1"))
    network = baseline.network(baseline.Config(), LABELS, COEFFICIENTS, FRAMES).train()
    features, labels = torch.randn(CLIPS, COEFFICIENTS, FRAMES), torch.arange(CLIPS) % LABELS

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(network(features), labels)
        torch.autograd.grad(loss, list(network.parameters()))

    return step


def _parts() -> dict[str, Callable[[], object]]:
    generator = torch.Generator().manual_seed(0)
    samples = 0.1 * torch.randn(CLIPS, RATE_HZ, generator=generator)
    noise = 0.1 * torch.randn(60 * RATE_HZ, generator=generator)
    features = torch.randn(CLIPS, COEFFICIENTS, FRAMES, generator=generator)

    def on_samples(augmentation: Augmentation) -> Callable[[], object]:
        return lambda: augment_samples(samples, augmentation, noise, RATE_HZ, generator)

    def on_features(augmentation: Augmentation) -> Callable[[], object]:
        return lambda: augment_features(features, augmentation, FRAMES_PER_S, generator)

    return {name: on_samples(augmentation) for name, augmentation in OF_SAMPLES.items()} | {
        name: on_features(augmentation) for name, augmentation in OF_FEATURES.items()
    }


if __name__ == "__main__":
    main()

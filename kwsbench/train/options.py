"""How a network is trained beside its recipe: seed, processors, numbers, and whether an earlier run goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["32", "bf16"]


@dataclass(frozen=True)
class TrainingOptions:
    """What a person chooses for a run.

    Attributes:
        seed: Seed of the first weights, the order of clips, dropout and augmentation.
        num_threads: Threads of torch on the processor; None for its own choice but a quarter, at least one.
        device: `auto` is the GPU where there is one.
        precision: `32`, or `bf16` for mixed precision with bfloat16.
        devices: Processors or GPUs that share each batch on one machine.
        nodes: Machines that share it.
        fresh: Starts over where an earlier run left its state.
    """

    seed: int = 0
    num_threads: int | None = None
    device: Device = "auto"
    precision: Precision = "32"
    devices: int = 1
    nodes: int = 1
    fresh: bool = False

"""A network that learns: one epoch over the training split, from samples to changed weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kwsbench.augmentation import augment_features, augment_samples
from kwsbench.baseline import TorchBaseline, errors_of
from kwsbench.errors import InputError
from kwsbench.front_end import FrontEnd
from kwsbench.progress import progress
from kwsbench.recipe import Recipe
from kwsbench.torch_front_end import torch_front_end
from kwsbench.train.batches import Indices, batches_of_epoch, made_ahead, seeds_of_batch
from kwsbench.train.losses import loss_of, soft_targets
from kwsbench.train.machine import threads_for_clips
from kwsbench.train.optimisers import optimiser_of, schedule_of
from kwsbench.train.teachers import Teacher

_BATCHES_PER_CHECK = 16  # a GPU is waited for when a number is read from it


@dataclass(frozen=True, eq=False)
class TrainingSplit:
    """The clips that a network learns from.

    Attributes:
        clips: The cache: gives samples of clips by their numbers, and has all label codes.
        noise: All background noise for them; None where none is added.
        front_end: From samples to features.
        sample_rate_hz: Of clips and noise.
        num_labels: How many labels there are.
    """

    clips: Any
    noise: NDArray[np.float32] | None
    front_end: FrontEnd
    sample_rate_hz: int
    num_labels: int

    def load(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Returns samples, shape (clips, samples), and label codes, shape (clips,)."""
        return torch.from_numpy(self.clips.samples(indices)), torch.from_numpy(self.clips.codes[indices])


@dataclass(frozen=True)
class Learnt:
    """What an epoch brought on the training split.

    Attributes:
        learning_rate: That of the last batch.
        loss: Mean over its clips.
        accuracy: Share of its clips with the right label.
    """

    learning_rate: float
    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class _Batch:
    """A batch as it is heard.

    Attributes:
        features: What the network hears, shape (clips, coefficients, frames).
        codes: Label codes, shape (clips,).
        seed: Seed of the network's own draws.
        of_teachers: What each teacher hears.
    """

    features: Tensor
    codes: Tensor
    seed: int
    of_teachers: tuple[Tensor, ...]


class Learner:
    """A network with its optimiser and its schedule.

    Args:
        baseline: Where the network is from, for messages.
        network: The network; it is moved to the device.
        recipe: How it is trained.
        split: What it learns from.
        fabric: Where it is trained.
        seed: Seed of the run.
        teachers: Whom it learns from beside the labels; they are moved to the device.

    Attributes:
        network: The network itself, without what Fabric puts around it.
        optimiser: Its optimiser.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that learning takes
        self,
        baseline: TorchBaseline,
        network: Any,
        recipe: Recipe,
        split: TrainingSplit,
        fabric: Any,
        seed: int,
        teachers: Sequence[Teacher] = (),
    ) -> None:
        # On a processor, convolutions over few channels are faster where the channels of a place lie together.
        self.network = network.to(memory_format=torch.channels_last)
        self.optimiser = optimiser_of(recipe, network.parameters())
        self._wrapped, self._wrapped_optimiser = fabric.setup(network, self.optimiser)
        self._teachers = tuple(teachers) if recipe.distillation and recipe.distillation.weight else ()
        for teacher in self._teachers:
            fabric.to_device(teacher.network)
        front_ends = {split.front_end, *(teacher.front_end for teacher in self._teachers)}
        self._hear = {one: fabric.to_device(torch_front_end(one, split.sample_rate_hz)) for one in front_ends}
        self._noise = None if split.noise is None else fabric.to_device(torch.from_numpy(split.noise))
        self._baseline, self._recipe, self._split, self._fabric, self._seed = baseline, recipe, split, fabric, seed
        self._steps_per_epoch = len(split.clips) // recipe.batch_size
        self._schedule = schedule_of(recipe, self.optimiser, self._steps_per_epoch)

    def go_on_after(self, epochs: int) -> None:
        """Takes the schedule to the end of an epoch that an earlier process has done."""
        self._schedule = schedule_of(
            self._recipe, self.optimiser, self._steps_per_epoch, epochs * self._steps_per_epoch
        )

    def learn(self, epoch: int, title: str) -> Learnt:
        """Trains for one epoch, under a progress bar.

        Args:
            epoch: Its number, from 1.
            title: What the bar says.

        Raises:
            InputError: The loss is no finite number any more, memory runs out, or the baseline fails.
        """
        recipe, rank, world = self._recipe, self._fabric.global_rank, self._fabric.world_size
        parts = batches_of_epoch(len(self._split.clips), recipe.batch_size, self._seed, epoch)
        mine = [(part[rank::world], seeds_of_batch(self._seed, epoch, batch, rank)) for batch, part in enumerate(parts)]
        self._wrapped.train()
        sums = torch.zeros(2, dtype=torch.float64, device=self._fabric.device)
        told = _memory_told(recipe, self._fabric.device)
        with told, progress(title, len(parts) * recipe.batch_size, "clips") as advance:
            for batch, heard in enumerate(made_ahead(self._heard, mine, threads_for_clips())):
                learning_rate = self.optimiser.param_groups[0]["lr"]
                sums += self._step(heard)
                if batch % _BATCHES_PER_CHECK == 0 or batch == len(parts) - 1:
                    _require_finite(float(sums[0]), batch, len(parts), recipe)
                advance(recipe.batch_size)
        loss, right = (self._fabric.all_reduce(sums, reduce_op="sum") / (len(parts) * recipe.batch_size)).tolist()
        return Learnt(learning_rate, loss, right)

    def _step(self, heard: _Batch) -> Tensor:
        """Changes the weights by one batch; returns the sum of its losses and the number of right labels."""
        codes = heard.codes
        _seed(heard.seed, self._fabric.device)
        with errors_of(self._baseline), _memory_told(self._recipe, self._fabric.device):
            scores = self._wrapped(heard.features)
        scores = _checked(scores, (len(codes), self._split.num_labels), self._baseline)
        loss = loss_of(scores, codes, self._recipe, self._soft_targets(heard))
        self._wrapped_optimiser.zero_grad()
        self._fabric.backward(loss)
        if self._recipe.clip_norm:
            self._fabric.clip_gradients(
                self._wrapped, self._wrapped_optimiser, max_norm=self._recipe.clip_norm, error_if_nonfinite=False
            )
        self._wrapped_optimiser.step()
        self._schedule.step()
        right = (scores.detach().argmax(dim=1) == codes).sum()
        return torch.stack([loss.detach().double() * len(codes), right.double()])

    def _soft_targets(self, heard: _Batch) -> Tensor | None:
        if not self._teachers or self._recipe.distillation is None:
            return None
        scores = []
        for teacher, features in zip(self._teachers, heard.of_teachers, strict=True):
            with errors_of(teacher.baseline), _memory_told(self._recipe, self._fabric.device):
                scores.append(teacher.scores(features))
        return soft_targets(scores, self._recipe.distillation.temperature)

    def _heard(self, part: tuple[Indices, tuple[int, int]]) -> _Batch:
        """Returns a batch as the network and its teachers are to hear it.

        All hear the same augmented samples; what is augmented on features is so for the network alone, whose features
        they are. It runs in threads, so all that it draws comes from a generator of its own.
        """
        indices, (seed, seed_of_augmentation) = part
        augmentation, rate = self._recipe.augmentation, self._split.sample_rate_hz
        generator = torch.Generator().manual_seed(seed_of_augmentation)
        frames_per_s = rate / self._split.front_end.hop_samples
        samples, codes = (one.to(self._fabric.device) for one in self._split.load(indices))
        with torch.no_grad():
            samples = augment_samples(samples, augmentation, self._noise, rate, generator)
            plain = {front_end: hear(samples) for front_end, hear in self._hear.items()}
            features = augment_features(plain[self._split.front_end], augmentation, frames_per_s, generator)
        of_teachers = (plain[teacher.front_end].clone() for teacher in self._teachers)  # whatever a network does to it
        return _Batch(features, codes, seed, tuple(of_teachers))


def _seed(seed: int, device: Any) -> None:
    """Seeds what the network draws from; `torch.manual_seed` would remember each call for GPUs that are never used."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _checked(scores: Any, expected: tuple[int, int], baseline: TorchBaseline) -> Tensor:
    if torch.is_tensor(scores) and tuple(scores.shape) == expected:
        return scores.float()
    found = f"shape {tuple(scores.shape)}" if torch.is_tensor(scores) else f"a {type(scores).__name__}"
    raise InputError(f"the network of {baseline.__file__} gives {found} for {expected[0]} clips, expected {expected}")


def _require_finite(loss: float, batch: int, num_batches: int, recipe: Recipe) -> None:
    if not math.isfinite(loss):
        raise InputError(
            f"the loss is {loss} by batch {batch + 1} of {num_batches}; a lower learning rate than {recipe.learning_rate:g}"
            " (--recipe learning_rate=...) or shorter gradients (--recipe clip_norm=1) may help"
        )


@contextmanager
def _memory_told(recipe: Recipe, device: Any) -> Iterator[None]:
    """Turns what torch says when memory runs out into one message."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _out_of_memory(f"the GPU ({device})", recipe) from error
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "can't allocate memory" not in str(error):
            raise
        raise _out_of_memory("this machine", recipe) from error


def _out_of_memory(what: str, recipe: Recipe) -> InputError:
    smaller = max(1, recipe.batch_size // 2)
    return InputError(
        f"{what} has not enough memory for batches of {recipe.batch_size} clips; take smaller ones:"
        f" --recipe batch_size={smaller} --fresh"
    )

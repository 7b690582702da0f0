"""A network that learns: one epoch over the training split, from samples to changed weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kwsbench.baseline import TorchBaseline, errors_of
from kwsbench.errors import InputError
from kwsbench.progress import progress
from kwsbench.recipe import Recipe
from kwsbench.train.batches import batches_of_epoch, made_ahead, seeds_of_batch
from kwsbench.train.hearing import Batch, Hearing, TrainingSplit
from kwsbench.train.losses import loss_of, soft_targets
from kwsbench.train.machine import threads_for_clips
from kwsbench.train.optimisers import optimiser_of, schedule_of
from kwsbench.train.teachers import Teacher

_BATCHES_PER_CHECK = 16  # a GPU is waited for when a number is read from it


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
        front_ends = [teacher.front_end for teacher in self._teachers]
        self._hearing = Hearing(split, recipe.augmentation, front_ends, fabric.device)
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
            for batch, heard in enumerate(made_ahead(self._hearing.batch, mine, threads_for_clips())):
                learning_rate = self.optimiser.param_groups[0]["lr"]
                sums += self._step(heard)
                if batch % _BATCHES_PER_CHECK == 0 or batch == len(parts) - 1:
                    _require_finite(float(sums[0]), batch, len(parts), recipe)
                advance(recipe.batch_size)
        loss, right = (self._fabric.all_reduce(sums, reduce_op="sum") / (len(parts) * recipe.batch_size)).tolist()
        return Learnt(learning_rate, loss, right)

    def _step(self, heard: Batch) -> Tensor:
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

    def _soft_targets(self, heard: Batch) -> Tensor | None:
        if not self._teachers or self._recipe.distillation is None:
            return None
        scores = []
        for teacher, features in zip(self._teachers, heard.of_teachers, strict=True):
            with errors_of(teacher.baseline), _memory_told(self._recipe, self._fabric.device):
                scores.append(teacher.scores(features))
        return soft_targets(scores, self._recipe.distillation.temperature)


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

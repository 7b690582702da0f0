"""Trains a baseline in torch on a prepared data set, epoch by epoch, and goes on where an earlier process stopped.

After every epoch the state of the run is written whole; a run that is killed and started again by the same command
goes on from it and ends in the weights, bit for bit, that it would have ended in on the same machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.baseline import TorchBaseline, errors_of
from kwsbench.checkpoint.header import ModelHeader
from kwsbench.clip_features import features_of_cache
from kwsbench.dataset.cache import open_cache
from kwsbench.dataset.clips import PreparedDataset
from kwsbench.dataset.noise import training_noise
from kwsbench.errors import InputError, KwsbenchError
from kwsbench.front_end import FrontEnd
from kwsbench.recipe import Recipe
from kwsbench.runtime.networks import load_weights, untrained_network
from kwsbench.train.card import CardFacts
from kwsbench.train.fingerprint import fingerprint_of
from kwsbench.train.hearing import TrainingSplit
from kwsbench.train.history import EpochRecord, best_of, is_finished
from kwsbench.train.labels import rows_with_all_labels
from kwsbench.train.learner import Learner
from kwsbench.train.logs import TensorBoardLog
from kwsbench.train.machine import open_fabric, repeatable
from kwsbench.train.options import TrainingOptions
from kwsbench.train.results import CHARTS, STATE, Results, alone_in, check_folder
from kwsbench.train.state import RunState, copied, remembered_by, remind
from kwsbench.train.teachers import Teacher, doubts, recipe_with, require_fitting
from kwsbench.train.validation import ValidationSplit

Say = Callable[[str], None]
"""Takes a sentence about the run, for a person who watches it."""


@dataclass(frozen=True)
class TrainedNetwork:
    """What training gave.

    Attributes:
        folder: Where the results lie.
        history: What each epoch brought.
        num_train_clips: Clips that it was trained on.
        is_main: This process speaks for all that shared the batches.
    """

    folder: Path
    history: tuple[EpochRecord, ...]
    num_train_clips: int
    is_main: bool = True

    @property
    def best(self) -> EpochRecord:
        """The epoch whose weights are in `model.pt`."""
        return best_of(self.history)


def train_network(  # noqa: PLR0913, PLR0917 - what is trained, how, on what, and where to
    baseline: TorchBaseline,
    config: Any,
    recipe: Recipe,
    dataset: PreparedDataset,
    folder: Path,
    options: TrainingOptions = TrainingOptions(),  # noqa: B008 - frozen
    say: Say = lambda _: None,
    teachers: Sequence[Teacher] = (),
) -> TrainedNetwork:
    """Trains a network by its recipe, or goes on with a run that was stopped.

    Args:
        baseline: The baseline.
        config: An instance of its `Config`.
        recipe: How it is trained.
        dataset: The prepared data set: it learns from `train`, and `validation` says which epoch was the best.
        folder: Where the results go: `model.pt` (the best epoch), `last.pt`, `state.pt`, `log.csv`, `card.md`,
            `tensorboard`.
        options: Seed, processors, precision, whether to start over.
        say: Is told where the run stands.
        teachers: Whom it learns from beside the labels, as `Recipe.distillation` says, or a default one.

    Returns:
        What it gave; at once, where an earlier run was finished.

    Raises:
        InputError: A split or label is missing, the recipe does not fit the data, a teacher does not fit or there is
            none for a recipe that needs one, the folder holds a run with other settings or a damaged state, a library
            or a GPU is missing, the loss becomes infinite, or memory or disk run out. What was trained before is kept.
        RefusedError: The state in the folder could do harm.
    """
    check_folder(folder)
    _require_clips(dataset, recipe, options)
    require_fitting(teachers, dataset.manifest)
    recipe = recipe_with(recipe, teachers)
    with repeatable(options.num_threads):
        fabric = open_fabric(options)
        with alone_in(folder) if fabric.is_global_zero else nullcontext():
            return _Run(baseline, config, recipe, dataset, folder, options, fabric, say, tuple(teachers)).train()


class _Run:
    """One run; see `train_network` for what it is made from."""

    def __init__(  # noqa: PLR0913, PLR0917 - as `train_network`
        self,
        baseline: TorchBaseline,
        config: Any,
        recipe: Recipe,
        dataset: PreparedDataset,
        folder: Path,
        options: TrainingOptions,
        fabric: Any,
        say: Say,
        teachers: tuple[Teacher, ...],
    ) -> None:
        self._fabric, self._folder, self._is_main = fabric, folder, fabric.is_global_zero
        self._say: Say = say if self._is_main else lambda _: None
        for doubt in doubts(teachers, dataset.clips_sha256):
            self._say(doubt)
        recipe, noise = _as_far_as_there_is_noise(recipe, dataset, self._say)
        self._recipe = recipe
        with errors_of(baseline):
            front_end = baseline.front_end(config, dataset.manifest.front_end)
        header = ModelHeader.of_training(
            dataset.manifest,
            baseline=baseline.__name__,
            config=config,
            front_end=front_end,
            seed=options.seed,
            clips_sha256=dataset.clips_sha256,
        )
        fingerprint = fingerprint_of(
            baseline, config, front_end, recipe, dataset, options, fabric.device.type, teachers
        )
        facts = replace(_card_facts(header, baseline, recipe, dataset, options), teachers=teachers)
        self._results = Results(folder, facts, fingerprint)
        earlier = None if options.fresh else self._results.earlier()
        split = _training_split(dataset, front_end, noise, fabric)
        self._validation = _validation_split(dataset, front_end) if self._is_main else None
        network = untrained_network(baseline, config, header)
        self._learner = Learner(baseline, network, recipe, split, fabric, options.seed, teachers)
        self._state = self._begun() if earlier is None else self._gone_on(earlier)

    def train(self) -> TrainedNetwork:
        """Trains to the end of the recipe."""
        charts = TensorBoardLog(self._folder / CHARTS, self._state.history) if self._is_main else None
        if charts and charts.missing:
            self._say(charts.missing)
        try:
            with self._kept():
                while not is_finished(self._state.history, self._recipe):
                    record = self._epoch()
                    if charts:
                        charts.add(record)
        finally:
            if charts:
                charts.close()
        self._say_if_early()
        return TrainedNetwork(self._folder, self._state.history, self._results.facts.num_train_clips, self._is_main)

    def _say_if_early(self) -> None:
        if len(self._state.history) < self._recipe.epochs:
            self._say(
                f"stopped after {_epochs(len(self._state.history))}: the validation accuracy has not risen for"
                f" {_epochs(self._recipe.patience_epochs)}"
            )

    def _epoch(self) -> EpochRecord:
        begun, epoch = time.monotonic(), len(self._state.history) + 1
        learnt = self._learner.learn(epoch, self._title(epoch))
        validated = self._fabric.broadcast(self._validated())
        record = EpochRecord(
            epoch=epoch,
            learning_rate=learnt.learning_rate,
            training_loss=learnt.loss,
            training_accuracy=learnt.accuracy,
            validation_loss=validated.loss,
            validation_accuracy=validated.accuracy,
            validation_balanced_accuracy=validated.balanced_accuracy,
            seconds=time.monotonic() - begun,
        )
        state = self._after(record)
        if self._is_main:
            self._results.keep(state)
        self._fabric.barrier()
        self._state = state
        self._say(_told(record, self._recipe))
        return record

    def _validated(self) -> Any:
        if self._validation is None:
            return None
        return self._validation.of(self._learner.network.eval(), self._fabric.device)

    def _after(self, record: EpochRecord) -> RunState:
        history, weights = (*self._state.history, record), copied(self._learner.network.state_dict())
        best = weights if best_of(history) is record else self._state.best
        return RunState(history, weights, best, remembered_by(self._learner.optimiser))

    def _begun(self) -> RunState:
        if self._is_main:
            self._results.forget()  # a run that starts over and is killed in its first epoch starts over again
        self._fabric.barrier()
        weights = copied(self._learner.network.state_dict())
        return RunState((), weights, weights, {})

    def _gone_on(self, earlier: RunState) -> RunState:
        path, done = self._folder / STATE, len(earlier.history)
        for weights in (earlier.best, earlier.last):
            load_weights(self._learner.network, weights, str(path))
        remind(self._learner.optimiser, earlier.optimiser, path)
        self._learner.go_on_after(done)
        if self._is_main:
            self._results.publish(earlier)
        over = is_finished(earlier.history, self._recipe)
        next_epoch = f"going on with epoch {done + 1} of {self._recipe.epochs}"
        self._say(f"{self._folder}: {_epochs(done)} done; {'--fresh trains again' if over else next_epoch}")
        return earlier

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Says with every failure what is kept and how to go on."""
        try:
            yield
        except KeyboardInterrupt:
            self._say(self._where())
            raise
        except KwsbenchError as error:
            message = f"{error.message} (in epoch {len(self._state.history) + 1}); {self._where()}"
            raise type(error)(message, error.problems) from error

    def _where(self) -> str:
        done = len(self._state.history)
        if not done:
            return "no epoch was finished; the same command begins again"
        return f"{self._folder} keeps what {_epochs(done)} gave; the same command, without --fresh, goes on from there"

    def _title(self, epoch: int) -> str:
        title = f"epoch {epoch} of {self._recipe.epochs}"
        if not self._state.history:
            return title
        last = self._state.history[-1]
        return f"{title} (loss {last.training_loss:.3f}, accuracy {100 * last.validation_accuracy:.1f} %)"


def _card_facts(
    header: ModelHeader, baseline: TorchBaseline, recipe: Recipe, dataset: PreparedDataset, options: TrainingOptions
) -> CardFacts:
    return CardFacts(
        header=header,
        title=dataset.manifest.title,
        licence=dataset.manifest.licence,
        source=getattr(baseline, "SOURCE", ""),
        recipe=recipe,
        options=options,
        num_train_clips=len(dataset.split("train")),
        num_validation_clips=len(dataset.split("validation")),
    )


def _require_clips(dataset: PreparedDataset, recipe: Recipe, options: TrainingOptions) -> None:
    num_clips = len(rows_with_all_labels(dataset, "train"))
    rows_with_all_labels(dataset, "validation")
    if num_clips < recipe.batch_size:
        raise InputError(
            f"the train split of {dataset.manifest.name} has {num_clips:,} clips, which do not fill a batch of"
            f" {recipe.batch_size:,}; use --recipe batch_size={num_clips}"
        )
    sharing = options.devices * options.nodes
    if recipe.batch_size % sharing:
        raise InputError(f"a batch of {recipe.batch_size:,} clips cannot be shared evenly by {sharing} devices")


def _as_far_as_there_is_noise(
    recipe: Recipe, dataset: PreparedDataset, say: Say
) -> tuple[Recipe, NDArray[np.float32] | None]:
    """Returns the recipe as it can be followed, and the background noise that it asks for."""
    if not recipe.augmentation.noise_probability:
        return recipe, None
    noise = training_noise(dataset)
    if len(noise):
        return recipe, noise
    say(f"{dataset.manifest.name} has no background noise, so none is added, as with augmentation.noise_probability=0")
    return replace(recipe, augmentation=replace(recipe.augmentation, noise_probability=0.0)), None


def _training_split(
    dataset: PreparedDataset, front_end: FrontEnd, noise: NDArray[np.float32] | None, fabric: Any
) -> TrainingSplit:
    with fabric.rank_zero_first(local=True):
        clips = open_cache(dataset, "train")
    manifest = dataset.manifest
    return TrainingSplit(manifest.name, clips, noise, front_end, manifest.sample_rate_hz, len(manifest.labels))


def _validation_split(dataset: PreparedDataset, front_end: FrontEnd) -> ValidationSplit:
    clips, manifest = open_cache(dataset, "validation"), dataset.manifest
    features = features_of_cache(clips, front_end, manifest.sample_rate_hz, manifest.name)
    return ValidationSplit(features, clips.codes, len(manifest.labels), len(manifest.keywords))


def _epochs(number: int) -> str:
    return f"{number} epoch{'s' if number != 1 else ''}"


def _told(record: EpochRecord, recipe: Recipe) -> str:
    return (
        f"epoch {record.epoch} of {recipe.epochs}: loss {record.training_loss:.4f},"
        f" accuracy {100 * record.training_accuracy:.2f} %; validation loss {record.validation_loss:.4f},"
        f" accuracy {100 * record.validation_accuracy:.2f} %; {record.seconds:.1f} s"
    )

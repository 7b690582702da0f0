"""The training of networks: what it leaves, that it can be had again, and what ends it early."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from kwsbench.checkpoint.model_file import read_model_file
from kwsbench.checkpoint.network import load_network
from kwsbench.errors import InputError
from kwsbench.metrics.confusion import Confusion, confusion_matrix
from kwsbench.predict import load_model, predict_split
from kwsbench.recipe import Augmentation
from kwsbench.train import learner, losses, results, state
from kwsbench.train.machine import repeatable
from kwsbench.train.network import TrainedNetwork
from kwsbench.train.results import alone_in
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from conftest import School

FOLDER = REPOSITORY / "tests/baselines_for_tests"
MODELS = ("model.pt", "last.pt", "card.md")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """What happens in a batch, by its number from 1, in the place of its loss: an exception, or a factor."""
    planned: dict[int, Any] = {}
    numbers, loss_of = itertools.count(1), losses.loss_of

    def planned_loss(*arguments: Any) -> Any:
        event = planned.get(next(numbers), 1)
        if isinstance(event, BaseException):
            raise event
        return loss_of(*arguments) * event

    monkeypatch.setattr(learner, "loss_of", planned_loss)
    return planned


def _bytes(trained: TrainedNetwork, names: tuple[str, ...] = MODELS) -> dict[str, bytes]:
    return {name: (trained.folder / name).read_bytes() for name in names}


def _without_seconds(trained: TrainedNetwork) -> list[Any]:
    return [dataclasses.replace(record, seconds=0) for record in trained.history]


def test_a_run_leaves_models_state_logs_and_a_card(school: School) -> None:
    """The folder holds what it should and nothing else, and the result says what the log does."""
    trained = school.train("one")
    assert {path.name for path in trained.folder.iterdir()} == {
        *("model.pt", "last.pt", "state.pt", "log.csv", "card.md", "tensorboard")
    }
    rows = list(csv.DictReader((trained.folder / "log.csv").read_text(encoding="utf-8").splitlines()))
    assert [int(row["epoch"]) for row in rows] == [record.epoch for record in trained.history] == [1, 2, 3]
    for row, record in zip(rows, trained.history, strict=True):
        assert {name: float(value) for name, value in row.items()} == pytest.approx(
            dataclasses.asdict(record), rel=1e-4
        )
    assert trained.num_train_clips == 16
    assert [said.partition(":")[0] for said in school.said] == [f"epoch {number} of 3" for number in (1, 2, 3)]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(school: School) -> None:
    """Two runs of a seed leave equal models and cards; a run of another seed leaves others."""
    one, two, other = (school.train(name, seed=seed) for name, seed in (("one", 0), ("two", 0), ("other", 1)))
    assert _bytes(one) == _bytes(two)
    assert _without_seconds(one) == _without_seconds(two)
    assert _bytes(one)["last.pt"] != _bytes(other)["last.pt"]


def test_training_leaves_torch_as_it_was(school: School) -> None:
    """Neither the state of the random generator nor the number of threads nor the mode of torch changes."""
    torch.manual_seed(5)
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist())
    school.train("one", num_threads=1)
    assert (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(),
    ) == before


@pytest.mark.parametrize(("processors", "threads"), [(1, 1), (2, 1), (4, 3), (16, 12)])
def test_a_quarter_of_the_processors_is_left_for_reading(processors: int, threads: int) -> None:
    """Where nothing is said torch gets three quarters of the processors, and at least one; asked for a number it gets that."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(processors)
        with repeatable(None):
            assert torch.get_num_threads() == threads
        with repeatable(processors):
            assert torch.get_num_threads() == processors
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["model.pt", "last.pt"])
def test_validation_is_what_predict_and_score_say(name: str, school: School) -> None:
    """Accuracy, balanced accuracy and loss in the history are those of the predictions of the checkpoint."""
    trained = school.train("one")
    record = trained.best if name == "model.pt" else trained.history[-1]
    clips = predict_split(load_model(trained.folder / name, FOLDER), school.dataset, "validation")
    labels = list(school.dataset.manifest.labels)
    truth = [labels.index(label) for label in school.dataset.split("validation")["label"]]
    matrix = confusion_matrix(truth, [labels.index(label) for label in clips.predicted], len(labels))
    confusion = Confusion(matrix, len(school.dataset.manifest.keywords))
    assert record.validation_accuracy == confusion.accuracy
    assert record.validation_balanced_accuracy == confusion.balanced_accuracy
    assert record.validation_loss == pytest.approx(-np.log(clips.scores[range(len(truth)), truth]).mean(), rel=1e-6)


def test_a_checkpoint_says_what_it_was_trained_on(school: School) -> None:
    """Baseline, configuration, data and seed are in the header."""
    header = load_network(read_model_file(school.train("one", seed=7).folder / "model.pt")).header
    assert (header.baseline, header.config) == ("tiny_network", {"width": 8, "dropout": 0.2})
    assert (header.clips_sha256, header.seed) == (school.dataset.clips_sha256, 7)
    assert header.labels == school.dataset.manifest.labels


def test_the_card_states_facts_and_no_test_figures(school: School) -> None:
    """The card names data, recipe, seed, figures on validation, parameters and versions."""
    trained = school.train("one", seed=3)
    card = (trained.folder / "card.md").read_text(encoding="utf-8")
    weights = load_network(read_model_file(trained.folder / "model.pt")).state_dict
    stored = sum(part.numel() for name, part in weights.items() if "running" not in name and "tracked" not in name)
    assert f"- parameters: {stored} (" in card
    for fact in (school.dataset.clips_sha256, "- seed: 3", "- width: 8", "- epochs: 3", str(torch.__version__)):
        assert fact in card
    assert f"| accuracy | {100 * trained.best.validation_accuracy:.2f} %" in card
    assert "The test split was not looked at" in card
    assert "augmentation.gain_db" not in card, "it does nothing"


def test_training_learns(school: School) -> None:
    """Without dropout and augmentation a few epochs learn the 16 clips by heart."""
    school.config = school.baseline.Config(width=32, dropout=0.0)
    recipe = school.recipe(epochs=12, learning_rate=0.02, augmentation=Augmentation())
    history = school.train("one", recipe).history
    assert history[-1].training_loss < 0.5 * history[0].training_loss
    assert history[-1].training_accuracy >= 0.9


@pytest.mark.parametrize("stopped_in", [1, 4, 5, 7, 12])
def test_a_run_that_goes_on_ends_in_the_same_weights(stopped_in: int, school: School, steps: dict[int, Any]) -> None:
    """Stopped in any of its twelve batches and started again, a run leaves the bytes of one that was not stopped."""
    steps[stopped_in] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        school.train("stopped")
    again, whole = school.train("stopped"), school.train("whole")
    assert _bytes(again) == _bytes(whole)
    assert _without_seconds(again) == _without_seconds(whole)
    assert [record.epoch for record in again.history] == [1, 2, 3]


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_every_optimiser_and_schedule_goes_on_exactly(optimiser: Any, school: School, steps: dict[int, Any]) -> None:
    """Momentum, a warm-up, steps and gradient clipping go on where they were."""
    recipe = school.recipe(
        optimiser=optimiser, schedule="steps", step_epochs=(0.5,), warmup_epochs=1.5, clip_norm=0.5, weight_decay=0.01
    )
    steps[6] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        school.train("stopped", recipe)
    assert _bytes(school.train("stopped", recipe)) == _bytes(school.train("whole", recipe))


def test_an_interrupt_says_how_to_go_on(school: School, steps: dict[int, Any]) -> None:
    """Ctrl-C keeps the last epoch and says so; before the first is finished there is nothing to keep."""
    steps[2], steps[2 + 5] = KeyboardInterrupt(), KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        school.train("one")
    assert school.said[-1] == "no epoch was finished; the same command begins again"
    with pytest.raises(KeyboardInterrupt):
        school.train("one")
    folder = school.root / "one"
    assert school.said[-1] == f"{folder} keeps what 1 epoch gave; the same command, without --fresh, goes on from there"
    assert load_network(read_model_file(folder / "model.pt")).header.baseline == "tiny_network"


def test_a_finished_run_is_not_trained_again(school: School) -> None:
    """The same call again gives the same result at once, and makes again what was lost beside the state."""
    whole = school.train("one")
    before = _bytes(whole, (*MODELS, "log.csv"))
    for name in before:
        (whole.folder / name).unlink()
    again = school.train("one")
    assert again == whole
    assert _bytes(again, tuple(before)) == before
    assert school.said[-1] == f"{whole.folder}: 3 epochs done; --fresh trains again"


def test_fresh_starts_over(school: School, steps: dict[int, Any]) -> None:
    """With `fresh` other settings take the place of an earlier run, whose models stay until there are new ones."""
    school.train("one")
    before = _bytes(school.train("one"))
    steps[12 + 2] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        school.train("one", seed=4, fresh=True)
    assert {name: (school.root / "one" / name).read_bytes() for name in MODELS} == before
    assert not (school.root / "one/state.pt").exists()
    assert _bytes(school.train("one", seed=4)) == _bytes(school.train("other", seed=4))


def test_a_state_of_other_settings_is_named_and_kept(school: School) -> None:
    """Another seed, recipe or precision in the same folder is an error that names them, and changes nothing."""
    before = _bytes(school.train("one"), (*MODELS, "state.pt", "log.csv"))
    with pytest.raises(InputError, match="run with other settings") as caught:
        school.train("one", school.recipe(epochs=5), seed=2, precision="bf16")
    assert [problem.where for problem in caught.value.problems] == ["--recipe epochs", "--seed", "--precision"]
    assert {name: (school.root / "one" / name).read_bytes() for name in before} == before


def test_what_is_said_of_a_baseline_may_change_while_it_is_trained(school: School, tmp_path: Path) -> None:
    """Docstrings, comments and stated figures of the baseline's file are no settings; its code is."""
    text = (FOLDER / "tiny_network.py").read_text(encoding="utf-8")
    school.train("one")
    for changed, works in (
        (text.replace("small layers", "tiny layers").replace("2026", "2027"), True),
        (text.replace("nn.ReLU", "nn.Tanh"), False),
    ):
        assert changed != text
        (tmp_path / "tiny_network.py").write_text(f"# Changed.\n{changed}", encoding="utf-8")
        school.baseline.__file__ = str(tmp_path / "tiny_network.py")
        if works:
            school.train("one")
            continue
        with pytest.raises(InputError) as caught:
            school.train("one")
        assert [problem.where for problem in caught.value.problems] == ["code of the baseline"]


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_what_was_trained(
    school: School, steps: dict[int, Any]
) -> None:
    """A NaN in the second epoch is one message with a remedy, and the first epoch's model stays."""
    steps[6] = float("nan")
    with pytest.raises(InputError, match=r"the loss is nan by batch . of 4.*keeps what 1 epoch gave") as caught:
        school.train("one")
    assert "--recipe learning_rate" in caught.value.message
    assert load_network(read_model_file(school.root / "one/model.pt")).header.baseline == "tiny_network"


def test_too_little_memory_ends_the_run_and_keeps_what_was_trained(school: School, steps: dict[int, Any]) -> None:
    """What torch raises for a GPU or a machine without memory is one message that names smaller batches."""
    steps[6] = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    with pytest.raises(
        InputError, match=r"the GPU .* batches of 4 clips.*batch_size=2 --fresh.*keeps what 1 epoch gave"
    ):
        school.train("one")
    steps[6 + 2] = RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(InputError, match="this machine has not enough memory"):
        school.train("one")


def test_a_network_that_fails_is_told_with_its_line(school: School) -> None:
    """An error in the code of a baseline, and an output of another shape, name its file."""
    network = school.baseline.network
    school.baseline.network = lambda *sizes: torch.nn.Sequential(network(*sizes), torch.nn.Linear(99, 2))  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"tiny_network\.py failed: RuntimeError: mat1 and mat2"):
        school.train("one")
    school.baseline.network = lambda *sizes: torch.nn.Sequential(network(*sizes), torch.nn.Flatten(0))  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"gives shape \(16,\) for 4 clips, expected \(4, 4\)"):
        school.train("one")


def test_a_run_ends_early_when_the_recipe_says_so(school: School) -> None:
    """With a learning rate of next to nothing the accuracy does not rise, and patience ends the run."""
    trained = school.train("one", school.recipe(epochs=9, patience_epochs=2, learning_rate=1e-12))
    assert len(trained.history) < 9
    assert school.said[-1].startswith(f"stopped after {len(trained.history)} epochs: the validation accuracy has not")
    assert school.train("one", school.recipe(epochs=9, patience_epochs=2, learning_rate=1e-12)) == trained


def test_the_best_epoch_is_kept(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    """`model.pt` holds the weights of the epoch with the best accuracy, `last.pt` those of the last."""
    best_of = lambda history: history[min(1, len(history) - 1)]  # noqa: E731 - epoch 2
    monkeypatch.setattr("kwsbench.train.network.best_of", best_of)
    monkeypatch.setattr("kwsbench.train.card.best_of", best_of)
    trained = school.train("three")
    two = school.train("two", school.recipe(schedule="constant", epochs=2))
    three = school.train("constant", school.recipe(schedule="constant", epochs=3))
    assert _bytes(three)["model.pt"] == _bytes(two)["last.pt"]
    assert _bytes(trained)["model.pt"] != _bytes(trained)["last.pt"]


def test_mixed_precision_trains_and_keeps_weights_of_32_bits(school: School) -> None:
    """With bfloat16 the weights are others, and still float32."""
    mixed, full = school.train("mixed", precision="bf16"), school.train("full")
    weights = load_network(read_model_file(mixed.folder / "last.pt")).state_dict
    assert {part.dtype for part in weights.values()} == {torch.float32, torch.int64}
    assert _bytes(mixed)["last.pt"] != _bytes(full)["last.pt"]


def test_a_split_or_label_that_is_missing_is_one_error(school: School) -> None:
    """A label without a clip is named with its split, before anything is written."""
    for split in ("train", "validation"):
        rows = school.dataset.clips
        del school.dataset.__dict__["clips"]
        school.dataset.__dict__["clips"] = rows.filter((rows["label"] != "no") | (rows["split"] != split))
        with pytest.raises(InputError, match=f"the {split} split of tiny has no clip of no"):
            school.train("one")
        school.dataset.__dict__["clips"] = rows
    assert not (school.root / "one").exists()


def test_batches_that_cannot_be_filled_or_shared_are_one_error(school: School) -> None:
    """More clips in a batch than in the split, or a number that devices cannot share, names what would do."""
    with pytest.raises(InputError, match=r"has 16 clips, which do not fill a batch of 17; use --recipe batch_size=16"):
        school.train("one", school.recipe(batch_size=17))
    with pytest.raises(InputError, match="a batch of 5 clips cannot be shared evenly by 2 devices"):
        school.train("one", school.recipe(batch_size=5), devices=2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_error(school: School) -> None:
    """Without a GPU `cuda` is an error that names the way out, and `auto` is the processor."""
    with pytest.raises(InputError, match="--device cpu"):
        school.train("one", device="cuda")
    assert _bytes(school.train("auto", device="auto")) == _bytes(school.train("cpu"))


def test_one_run_at_a_time_writes_into_a_folder(school: School) -> None:
    """A second training in the folder is an error while the first goes on, and files of a killed one are removed."""
    folder = school.root / "one"
    with alone_in(folder):
        left = folder / ".state.pt.0123abcd.tmp"
        left.write_bytes(b"half")
        with pytest.raises(InputError, match="another training writes into"):
            school.train("one")
        assert left.exists()
    school.train("one")
    assert not left.exists()


def test_results_that_cannot_take_their_place_are_told_at_once(school: School) -> None:
    """A folder in the place of a model is an error before the first batch."""
    (school.root / "one/model.pt").mkdir(parents=True)
    with pytest.raises(InputError, match=r"model\.pt: it is a folder"):
        school.train("one")
    assert school.said == []


def test_a_disk_that_is_full_keeps_the_epochs_before(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the state of the second epoch cannot be written, the message says what is kept, and the run can go on."""
    save, calls = state.save_state, itertools.count(1)

    def full(path: Path, *rest: Any) -> None:
        if next(calls) == 2:
            raise InputError(f"cannot write {path}: No space left on device; what was there before is unchanged")
        save(path, *rest)

    monkeypatch.setattr(results, "save_state", full)
    with pytest.raises(InputError, match=r"No space left.*keeps what 1 epoch gave"):
        school.train("one")
    assert _bytes(school.train("one")) == _bytes(school.train("whole"))


def test_without_background_noise_none_is_added_and_it_is_said(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe with background noise, for data without any, is followed as far as it can be; the card states that."""
    monkeypatch.setattr("kwsbench.train.network.training_noise", lambda _: np.zeros(0, np.float32))
    trained = school.train("one")
    assert school.said[0].startswith("tiny has no background noise, so none is added")
    assert "noise_probability" not in (trained.folder / "card.md").read_text(encoding="utf-8")
    augmentation = dataclasses.replace(school.recipe().augmentation, noise_probability=0.0)
    assert _bytes(trained) == _bytes(school.train("none", school.recipe(augmentation=augmentation)))


def test_tensorboard_shows_each_epoch_once(school: School, steps: dict[int, Any]) -> None:
    """After a stop in the second epoch the log for TensorBoard holds three epochs, as the history has them."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    steps[6] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        school.train("one")
    trained = school.train("one")
    events = accumulators.EventAccumulator(str(trained.folder / "tensorboard"))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("accuracy/validation")]
    assert shown == [(record.epoch, pytest.approx(record.validation_accuracy)) for record in trained.history]


def test_without_tensorboard_it_is_said_and_training_goes_on(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing TensorBoard is a note, and everything else is written."""

    def missing(*_: str) -> None:
        raise InputError("TensorBoard is not installed; run `pip install 'kwsbench[train]'`")

    monkeypatch.setattr("kwsbench.train.logs.require_installed", missing)
    trained = school.train("one")
    assert school.said[0].startswith("no log for TensorBoard is written: TensorBoard is not installed")
    assert not (trained.folder / "tensorboard").exists()

"""Distillation: what a teacher must be, what it hears, and that a run with teachers can be had again."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from kwsbench.augmentation import augment_samples
from kwsbench.baseline import load_baseline, require_torch
from kwsbench.checkpoint.model_file import read_model_file
from kwsbench.checkpoint.network import NetworkCheckpoint, load_network, save_network
from kwsbench.errors import InputError
from kwsbench.features import extract
from kwsbench.recipe import Augmentation, Distillation
from kwsbench.runtime.networks import untrained_checkpoint
from kwsbench.train import learner, losses
from kwsbench.train.network import TrainedNetwork
from kwsbench.train.teachers import Teacher, read_teacher
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from conftest import School

FOLDER = REPOSITORY / "tests/baselines_for_tests"
MODELS = ("model.pt", "last.pt", "card.md")

OTHER_EARS = """    return FrontEnd(
        kind="mfcc", window_samples=512, hop_samples=200, n_fft=512, num_mels=16, num_mfcc=8
    )"""


@dataclass
class Staff:
    """Makes teachers.

    Attributes:
        school: Where they teach.
        folder: Where their files and their baselines lie: `tiny_network`, and `other_ears` with another front-end.
    """

    school: School
    folder: Path

    def checkpoint(self, seed: int, baseline: Any = None, **header: Any) -> NetworkCheckpoint:
        """Returns an untrained network, with changes in its header."""
        made = untrained_checkpoint(baseline or self.school.baseline, self.school.dataset.manifest, seed=seed)
        changes = {"clips_sha256": self.school.dataset.clips_sha256, **header}
        return NetworkCheckpoint(made.header.model_copy(update=changes), made.state_dict)

    def write(self, checkpoint: NetworkCheckpoint, name: str = "teacher.pt") -> Path:
        """Writes a checkpoint."""
        save_network(self.folder / name, checkpoint)
        return self.folder / name

    def hire(self, seed: int, **header: Any) -> Teacher:
        """Returns a teacher with weights of its own."""
        return read_teacher(self.write(self.checkpoint(seed, **header)), self.folder)

    def hire_with_other_ears(self) -> Teacher:
        """Returns a teacher that hears MFCC."""
        baseline = require_torch(load_baseline("other_ears", self.folder))
        return read_teacher(self.write(self.checkpoint(9, baseline)), self.folder)


@pytest.fixture
def staff(school: School, tmp_path: Path) -> Staff:
    """A folder for teachers and two baselines."""
    folder = tmp_path / "staff"
    folder.mkdir()
    text = (FOLDER / "tiny_network.py").read_text(encoding="utf-8")
    (folder / "tiny_network.py").write_text(text, encoding="utf-8")
    other = text.replace("    return default", OTHER_EARS)
    assert other != text
    (folder / "other_ears.py").write_text(other, encoding="utf-8")
    return Staff(school, folder)


def _bytes(trained: TrainedNetwork, names: tuple[str, ...] = MODELS) -> dict[str, bytes]:
    return {name: (trained.folder / name).read_bytes() for name in names}


def _state(teacher: Teacher) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in teacher.network.state_dict().items()}


@pytest.mark.parametrize("stopped_in", [1, 4, 6, 12])
def test_a_run_with_teachers_goes_on_exactly(
    stopped_in: int, school: School, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in any batch and started again, with two teachers, it leaves the bytes of one that was not stopped."""
    numbers, loss_of = itertools.count(1), losses.loss_of

    def stopping(*arguments: Any) -> Any:
        if next(numbers) == stopped_in:
            raise KeyboardInterrupt
        return loss_of(*arguments)

    monkeypatch.setattr(learner, "loss_of", stopping)
    with pytest.raises(KeyboardInterrupt):
        school.train("stopped", teachers=[staff.hire(7), staff.hire_with_other_ears()])
    again = school.train("stopped", teachers=[staff.hire(7), staff.hire_with_other_ears()])
    whole = school.train("whole", teachers=[staff.hire(7), staff.hire_with_other_ears()])
    assert _bytes(again) == _bytes(whole)


def test_teachers_change_the_student_and_are_not_changed(school: School, staff: Staff) -> None:
    """Another teacher, and one more, give other weights; the teachers' own, running statistics too, stay."""
    one, two = staff.hire(1), staff.hire(2)
    before = [_state(teacher) for teacher in (one, two)]
    runs = [
        school.train("plain"),
        school.train("one", teachers=[one]),
        school.train("two", teachers=[two]),
        school.train("both", teachers=[one, two]),
    ]
    assert len({_bytes(run)["last.pt"] for run in runs}) == len(runs)
    for teacher, state in zip((one, two), before, strict=True):
        assert not teacher.network.training
        assert not any(parameter.requires_grad for parameter in teacher.network.parameters())
        torch.testing.assert_close(_state(teacher), state, rtol=0, atol=0)


def test_a_student_learns_what_its_teacher_says(school: School, staff: Staff) -> None:
    """With all weight on a teacher that hears `no` in everything, the student comes to say `no`."""
    checkpoint = staff.checkpoint(3)
    for tensor in checkpoint.state_dict.values():
        tensor.zero_()
    no = school.dataset.manifest.labels.index("no")
    list(checkpoint.state_dict.values())[-1][no] = 20.0
    teacher = read_teacher(staff.write(checkpoint), staff.folder)
    recipe = school.recipe(distillation=Distillation(weight=1.0), epochs=6)
    last = school.train("one", recipe, [teacher]).history[-1]
    assert last.training_accuracy == last.validation_accuracy == 0.25


def test_the_same_teacher_twice_is_that_teacher(school: School, staff: Staff) -> None:
    """The mean over an ensemble of equals is each of them."""
    one, two = school.train("one", teachers=[staff.hire(1)]), school.train("two", teachers=[staff.hire(1)] * 2)
    assert _bytes(one)["last.pt"] == _bytes(two)["last.pt"]


def test_a_weight_of_0_asks_no_teacher(school: School, staff: Staff) -> None:
    """The student is, to the byte, what it is without teachers, and a teacher that fails does no harm."""
    teacher = dataclasses.replace(staff.hire(1), network=torch.nn.Linear(1, 1))
    recipe = school.recipe(distillation=Distillation(weight=0.0))
    plain = _bytes(school.train("plain"))
    for name, teachers in (("with", [teacher]), ("without", [])):
        assert _bytes(school.train(name, recipe, teachers))["last.pt"] == plain["last.pt"]


@pytest.mark.parametrize("ears", ["same", "other"])
def test_a_teacher_hears_the_same_augmented_samples(
    ears: str, school: School, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears what the student's features are made from, through its own front-end, and no mask on a spectrogram."""
    teacher = staff.hire_with_other_ears() if ears == "other" else staff.hire(1)
    samples: list[Any] = []
    heard: list[Any] = []
    learnt: list[Any] = []

    def augmenting(*arguments: Any) -> Any:
        samples.append(augment_samples(*arguments))
        return samples[-1]

    def listening(network: Any, into: list[Any]) -> Any:
        network.register_forward_pre_hook(lambda _, inputs: into.append(inputs[0].clone()))
        return network

    monkeypatch.setattr("kwsbench.train.hearing.augment_samples", augmenting)
    monkeypatch.setattr("kwsbench.train.learner.made_ahead", lambda make, parts, _: map(make, parts))
    listening(teacher.network, heard)
    build = school.baseline.network
    monkeypatch.setattr(school.baseline, "network", lambda *sizes: listening(build(*sizes), learnt), raising=True)
    masks = Augmentation(shift_s=0.01, noise_snr_db=(0.0, 0.0), noise_probability=1.0, time_masks=2, time_mask_s=0.05)
    school.train("one", school.recipe(epochs=1, augmentation=masks), [teacher])
    assert len(samples) == len(heard) == 4
    for part, given in zip(samples, heard, strict=True):
        own = extract(part.numpy(), teacher.front_end, 16_000)
        torch.testing.assert_close(given, torch.from_numpy(own), atol=1e-4, rtol=0)
    assert ears == "other" or not torch.equal(heard[0], learnt[0]), "the student's features are masked"


def test_a_recipe_of_distillation_needs_a_teacher(school: School) -> None:
    """Without one it is an error that names the option and the other way out, and nothing is written."""
    with pytest.raises(InputError, match=r"no teacher is given; name one with --teacher MODEL, or .*weight=0"):
        school.train("one", school.recipe(distillation=Distillation()))
    assert not (school.root / "one").exists()


def test_a_recipe_without_distillation_gets_the_default_one(school: School, staff: Staff) -> None:
    """Any baseline can be a student: a teacher is enough."""
    given = school.train("given", teachers=[staff.hire(1)])
    assert _bytes(given) == _bytes(school.train("said", school.recipe(distillation=Distillation()), [staff.hire(1)]))
    hot = school.recipe(distillation=Distillation(temperature=8.0))
    assert _bytes(given)["last.pt"] != _bytes(school.train("hot", hot, [staff.hire(1)]))["last.pt"]


def test_a_state_of_other_teachers_is_named_and_kept(school: School, staff: Staff) -> None:
    """Another file, one more, none, or other code of a teacher's baseline in the same folder is an error."""
    one, two = staff.hire(1), staff.hire(2)
    before = _bytes(school.train("one", teachers=[one]), (*MODELS, "state.pt"))
    code = "code of the teachers"
    for teachers, where in (([two], ["--teacher"]), ([one, two], ["--teacher", code])):
        with pytest.raises(InputError, match="run with other settings") as caught:
            school.train("one", teachers=teachers)
        assert [problem.where for problem in caught.value.problems] == where
    with pytest.raises(InputError, match="run with other settings") as caught:
        school.train("one")
    assert {"--teacher", "--recipe distillation.weight"} <= {problem.where for problem in caught.value.problems}
    text = (staff.folder / "tiny_network.py").read_text(encoding="utf-8")
    (staff.folder / "tiny_network.py").write_text(text.replace("nn.ReLU", "nn.Tanh"), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        school.train("one", teachers=[staff.hire(1)])
    assert [problem.where for problem in caught.value.problems] == [code]
    assert {name: (school.root / "one" / name).read_bytes() for name in before} == before


def test_the_card_names_the_teachers(school: School, staff: Staff) -> None:
    """Baseline, configuration, seed and the hash of the file of each, and how they are weighted."""
    teachers = [staff.hire(1), staff.hire_with_other_ears()]
    recipe = school.recipe(epochs=1, distillation=Distillation(2.0, 0.5, "inverse_square"))
    card = (school.train("one", recipe, teachers).folder / "card.md").read_text(encoding="utf-8")
    named = card.partition("## Teachers\n\n")[2].partition("\n\n")[0].splitlines()
    assert [line.partition(" (")[0] for line in named] == ["- `tiny_network`", "- `other_ears`"]
    for line, teacher in zip(named, teachers, strict=True):
        assert f"seed {teacher.header.seed}" in line
        assert teacher.sha256 in line
        assert "width 8" in line
        assert str(staff.folder) not in card
    for setting in ("temperature: 2.0", "weight: 0.5", "form: inverse_square"):
        assert f"- distillation.{setting}" in card
    plain = (school.train("plain", school.recipe(epochs=1)).folder / "card.md").read_text(encoding="utf-8")
    assert "eacher" not in plain
    assert "distillation: None" not in plain


def test_a_teacher_of_other_clips_is_told(school: School, staff: Staff) -> None:
    """It may know the clips that the student is judged by; one of the same clips is not mentioned."""
    recipe = school.recipe(epochs=1)
    school.train("same", recipe, [staff.hire(1)])
    assert not [said for said in school.said if "teacher" in said]
    school.train("other", recipe, [staff.hire(1, clips_sha256="0" * 64)])
    assert [said for said in school.said if "was trained on other clips (tiny, revision 1)" in said]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"labels": ("no", "yes", "_unknown_", "_silence_")},
            "labels: found no yes _unknown_ _silence_, expected yes no",
        ),
        ({"sample_rate_hz": 8_000}, "samples per second: found 8,000, expected 16,000"),
        ({"clip_samples": 3_200}, "samples of a clip: found 3,200, expected 1,600"),
    ],
)
def test_a_teacher_of_another_task_is_one_error(
    change: dict[str, Any], said: str, school: School, staff: Staff
) -> None:
    """Labels in another order, another rate and another length are named with the file, before anything is written."""
    with pytest.raises(InputError, match="a teacher does not fit tiny") as caught:
        school.train("one", teachers=[staff.hire(1), staff.hire(2, **change)])
    (problem,) = caught.value.problems
    assert f"teacher.pt, {said}" in str(problem)
    assert not (school.root / "one").exists()


def test_a_file_that_cannot_teach_says_why(staff: Staff, tmp_path: Path) -> None:
    """A missing file, one cut short, bare weights, and LightGBM are each one message."""
    path = staff.write(staff.checkpoint(1))
    weights = tmp_path / "weights.pt"
    torch.save(staff.checkpoint(1).state_dict, weights)
    trees = tmp_path / "model.txt"
    trees.write_text("tree\nversion=v4\nend of trees\n", encoding="utf-8")
    cut = tmp_path / "cut.pt"
    cut.write_bytes(path.read_bytes()[:-500])
    for file, said in (
        (tmp_path / "none.pt", "cannot read the model .*none.pt: no such file"),
        (cut, r"cut\.pt"),
        (weights, r"weights\.pt \(state_dict\) cannot teach: without kwsbench's header its labels"),
        (trees, r"model\.txt \(lightgbm\) cannot teach: it is no network in torch"),
    ):
        with pytest.raises(InputError, match=said):
            read_teacher(file, staff.folder)


def test_an_export_cannot_teach(staff: Staff, tmp_path: Path) -> None:
    """An ONNX file is refused with the reason and with what to give in its place."""
    onnx = pytest.importorskip("onnx")
    value = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"\(onnx\) cannot teach: exports run apart .* such as its model\.pt"):
        read_teacher(tmp_path / "model.onnx", staff.folder)


def test_a_checkpoint_that_does_not_fit_its_baseline_is_one_error(staff: Staff) -> None:
    """A setting or a baseline that is not there, other weights and weights that are no numbers name the teacher."""
    broken = staff.checkpoint(1)
    next(iter(broken.state_dict.values())).fill_(float("nan"))
    short = staff.checkpoint(1)
    del short.state_dict["0.weight"]
    for checkpoint, said in (
        (staff.checkpoint(1, config={"depth": 3}), r"the teacher .*teacher\.pt cannot be used: .* train it again"),
        (staff.checkpoint(1, config={"width": 9}), "do not fit the architecture"),
        (short, r"the teacher .* do not fit the architecture"),
        (broken, r"the teacher .*teacher\.pt gives scores that are not finite numbers"),
    ):
        with pytest.raises(InputError, match=said):
            read_teacher(staff.write(checkpoint), staff.folder)
    renamed = staff.write(NetworkCheckpoint(broken.header.model_copy(update={"baseline": "gone"}), broken.state_dict))
    with pytest.raises(InputError, match="'gone', which is not here"):
        read_teacher(renamed, staff.folder)


def test_a_shipped_baseline_teaches_a_student_of_another_folder(staff: Staff) -> None:
    """With a folder of one's own baselines, a teacher may still be one of those that ship."""
    shipped = load_baseline("ffnn")
    assert read_teacher(staff.write(staff.checkpoint(1, shipped)), staff.folder).header.baseline == "ffnn"


def test_a_student_can_teach(school: School, staff: Staff) -> None:
    """What training leaves can be a teacher of the next."""
    first = school.train("first", school.recipe(epochs=1))
    teacher = read_teacher(first.folder / "model.pt", staff.folder)
    second = school.train("second", school.recipe(epochs=1), [teacher])
    assert load_network(read_model_file(second.folder / "model.pt")).header.labels == teacher.header.labels


def test_a_teacher_without_memory_is_told_as_memory(school: School, staff: Staff) -> None:
    """What torch raises in a teacher when a GPU is full names smaller batches."""

    class Full(torch.nn.Module):
        def forward(self, _: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory")

    teacher = dataclasses.replace(staff.hire(1), network=Full())
    with pytest.raises(InputError, match=r"has not enough memory for batches of 4 clips.*batch_size=2"):
        school.train("one", teachers=[teacher])


def test_a_teacher_that_gives_another_shape_is_named(school: School, staff: Staff) -> None:
    """Its file, what it gives and what was expected."""
    teacher = dataclasses.replace(staff.hire(1), network=torch.nn.Flatten(0))
    with pytest.raises(InputError, match=r"the teacher .*teacher\.pt gives shape .* for 4 clips, expected \(4, 4\)"):
        school.train("one", teachers=[teacher])

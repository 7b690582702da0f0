"""Pairs that a person should look at: copies are found, and what independent teams have in common is not listed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kwsbench.leaderboard.collect import Sources
from kwsbench.leaderboard.similar import SIGNIFICANCE, find_likenesses
from kwsbench.leaderboard.similar_errors import Answers, shared_errors
from kwsbench.leaderboard.similar_reports import Report, shared_text
from kwsbench.leaderboard.similar_weights import shared_weights, weights_of
from kwsbench.submission.report import SECTIONS, report_template
from tests.leaderboard.courses import Course, safetensors, truth_of

TRUTH = truth_of(800, 80)
SENTENCES = (
    "we halved the channels of every block and trained for forty epochs with cosine decay",
    "augmentation by shifting and by noise from rain and street gave the largest gain of all",
    "quantisation cost a third of a point until we learned the widths of the activations",
)


def _teams(count: int, seed: int, *, skill: float = 0.12) -> list[Answers]:
    """Independent systems that find the same clips hard, and mistake them for the same labels."""
    random = np.random.default_rng(seed)
    num_clips = len(TRUTH.truth)
    hard = random.beta(0.3, 2.0, num_clips)
    tempting = (TRUTH.truth + 1 + random.integers(0, 3, num_clips)) % 4
    return [_answers(random, number, hard * skill * random.uniform(4, 7), tempting) for number in range(count)]


def _answers(
    random: np.random.Generator, number: int, chance: NDArray[np.float64], tempting: NDArray[np.int64]
) -> Answers:
    num_clips = len(TRUTH.truth)
    wrong = random.random(num_clips) < chance
    usual = random.random(num_clips) < 0.8
    other = (TRUTH.truth + 1 + random.integers(0, 3, num_clips)) % 4
    predicted = np.where(wrong, np.where(usual, tempting, other), TRUTH.truth)
    return Answers(f"team-{number:02}/one", f"team-{number:02}", predicted.astype(np.uint16))


def _copy(original: Answers, team: str, changed: int, seed: int = 0) -> Answers:
    """The same answers but for some clips."""
    predicted = original.predicted.copy()
    places = np.random.default_rng(seed).permutation(len(predicted))[:changed]
    predicted[places] = (predicted[places] + 1) % 4
    return Answers(f"{team}/one", team, predicted)


@pytest.mark.parametrize("seed", range(5))
def test_independent_teams_are_not_listed(seed: int) -> None:
    """Systems that only share which clips are hard have no p-value that survives the correction."""
    tested, num_pairs = shared_errors(TRUTH, _teams(14, seed))
    assert num_pairs == 14 * 13 // 2 == len(tested)
    assert min(pair.p_value for pair in tested) * num_pairs >= SIGNIFICANCE


def test_what_is_expected_is_about_what_is_found() -> None:
    """Over all pairs of independent systems, shared mistakes are as many as expected, give or take a tenth."""
    tested, _ = shared_errors(TRUTH, _teams(20, 7))
    found = sum(pair.shared for pair in tested)
    assert sum(pair.expected for pair in tested) == pytest.approx(found, rel=0.12)
    assert found > 1_000


@pytest.mark.parametrize("changed", [0, 20, 60])
def test_a_copy_is_found_also_where_answers_were_changed(changed: int) -> None:
    """A system that repeats another one's mistakes stands out, and no other pair does."""
    teams = _teams(12, 3)
    tested, num_pairs = shared_errors(TRUTH, [*teams, _copy(teams[4], "thief", changed)])
    listed = [pair for pair in tested if pair.p_value * num_pairs < SIGNIFICANCE]
    assert [{pair.first, pair.second} for pair in listed] == [{"team-04/one", "thief/one"}]


def test_entries_of_one_team_and_of_few_teams_are_not_compared() -> None:
    """A team may repeat itself; and where nobody else shows which clips are hard, nothing is claimed."""
    teams = _teams(8, 1)
    again = Answers("team-03/two", "team-03", teams[3].predicted)
    tested, _ = shared_errors(TRUTH, [*teams, again])
    assert not any({pair.first, pair.second} == {"team-03/one", "team-03/two"} for pair in tested)
    assert shared_errors(TRUTH, [*teams[:4], _copy(teams[0], "thief", 0)]) == ([], 0)
    assert shared_errors(TRUTH, []) == ([], 0)


def _model(folder: Path, name: str, **tensors: NDArray[np.float64]) -> Path:
    path = folder / f"{name}.safetensors"
    path.write_bytes(safetensors(**{key: values.astype(np.float32) for key, values in tensors.items()}))
    return path


def _pairs(**models: Path) -> dict[tuple[str, str], tuple[bool, float, float]]:
    read = [weights_of(f"{name}/one", name, path) for name, path in models.items()]
    found = shared_weights([weights for weights in read if weights is not None])
    return {(pair.first[:-4], pair.second[:-4]): (pair.same_file, pair.share, pair.near_share) for pair in found}


def test_equal_permuted_and_nearly_equal_weights_are_found(tmp_path: Path) -> None:
    """Channels in another order, signs turned round, names changed, and a touch of noise do not hide a copy."""
    random = np.random.default_rng(0)
    first, second = random.normal(size=(24, 40)), random.normal(size=(4, 24))
    order = random.permutation(24)
    original = _model(tmp_path, "a", conv=first, head=second, bias=np.zeros(24))
    turned = _model(tmp_path, "b", x=-first[order], y=second[:, order])
    noisy = _model(
        tmp_path, "c", conv=first * (1 + 1e-4 * random.normal(size=first.shape)), head=random.normal(size=(4, 24))
    )
    independent = _model(tmp_path, "d", conv=random.normal(size=(24, 40)), head=random.normal(size=(4, 24)))
    same = tmp_path / "e.safetensors"
    same.write_bytes(original.read_bytes())
    found = _pairs(a=original, b=turned, c=noisy, d=independent, e=same)
    assert found["a", "b"] == (False, 1.0, 1.0)
    assert found["a", "e"] == (True, 1.0, 1.0)
    assert found["a", "c"][1] == 0
    assert found["a", "c"][2] == pytest.approx(960 / 1056)
    assert not any("d" in pair for pair in found)


class Net(torch.nn.Module):
    """A small network."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Linear(40, 24), torch.nn.Linear(24, 10)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """From (clips, 40) to (clips, 10)."""
        return self.second(torch.relu(self.first(features)))  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore")
def test_weights_in_programs_are_found(tmp_path: Path) -> None:
    """The weights of TorchScript and `.pt2` are compared with those of any other format, and nothing is run."""
    net = Net().eval()
    torch.save(net.state_dict(), tmp_path / "a.pt")
    torch.jit.save(torch.jit.script(net), tmp_path / "b.pt")  # type: ignore[no-untyped-call]
    torch.export.save(torch.export.export(net, (torch.zeros(2, 40),)), tmp_path / "c.pt2")
    with torch.no_grad():
        for values in net.parameters():
            values.copy_(torch.randn_like(values))
    torch.jit.save(torch.jit.script(net), tmp_path / "d.pt")  # type: ignore[no-untyped-call]
    found = _pairs(a=tmp_path / "a.pt", b=tmp_path / "b.pt", c=tmp_path / "c.pt2", d=tmp_path / "d.pt")
    assert found == {("a", "b"): (False, 1.0, 1.0), ("a", "c"): (False, 1.0, 1.0), ("b", "c"): (False, 1.0, 1.0)}


def test_constants_and_small_tensors_say_nothing(tmp_path: Path) -> None:
    """Zeros, ones and a handful of numbers are in every network."""
    random = np.random.default_rng(0)
    models = {
        name: _model(
            tmp_path, name, zero=np.zeros(500), one=np.ones(500), few=np.arange(9.0), w=random.normal(size=500)
        )
        for name in "ab"
    }
    assert _pairs(**models) == {}


def test_a_model_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """Damaged files and programs have no weights to compare, and raise nothing."""
    for name, content in {"a": b"", "b": b"PK\x03\x04 no zip", "c": b"\x80\x04cos\nsystem\n."}.items():
        (tmp_path / name).write_bytes(content)
        assert weights_of("x/one", "x", tmp_path / name) is None


def _text(*sentences: str) -> str:
    return report_template("Ours", ["accuracy 0.9"]) + "\n" + ". ".join(sentences)


def test_copied_passages_are_found_whatever_was_done_to_their_form() -> None:
    """Passages count without case, punctuation and Markdown; the share is that of the shorter report."""
    own = " ".join(f"word{number}" for number in range(40))
    reports = [
        Report("a/one", "a", _text(*SENTENCES, own)),
        Report("b/one", "b", _text(*(f"**{sentence.upper()}**" for sentence in SENTENCES))),
        Report("c/one", "c", _text("something else entirely that nobody has ever written about a network before us")),
    ]
    (pair,) = shared_text(reports)
    assert (pair.first, pair.second) == ("a/one", "b/one")
    assert pair.passages >= 20
    assert pair.share > 0.5
    assert len(pair.example.split()) == 8


def test_the_template_is_no_copied_passage() -> None:
    """What the template says stands in every report, and is not counted; nor is what a team repeats itself."""
    empty = report_template("Ours", ["accuracy 0.9"])
    assert shared_text([Report(f"{name}/one", name, empty) for name in "abc"]) == []
    assert shared_text([Report(f"a/{name}", "a", _text(*SENTENCES)) for name in ("one", "two")]) == []


def test_what_everybody_writes_is_no_copied_passage() -> None:
    """A passage that more than twenty teams have is common knowledge."""
    reports = [Report(f"t{number}/one", f"t{number}", _text(*SENTENCES)) for number in range(25)]
    assert shared_text(reports) == []
    assert len(SECTIONS) > 3


def test_the_list_has_all_three_kinds_with_their_evidence(course: Course) -> None:
    """Entries that share mistakes, weights and report are listed once for each, other entries not at all."""
    teams = _teams(8, 2)
    course = Course(course.root / "inner", "", TRUTH)
    text = "# Ours\n\n" + "".join(f"## {name}\n\n{' '.join(SENTENCES)} in {name}\n\n" for name in SECTIONS)
    for number, answers in enumerate(teams):
        course.add(answers.key, answers.predicted, model=_unlike(number))
    course.add("thief/one", teams[0].predicted, model=_unlike(0), report=text)
    course.add("team-00/one", teams[0].predicted, model=_unlike(0), report=text)
    found = find_likenesses(course.submissions, Sources(course.house, jobs=1))
    listed = {one.kind: one for one in found if {one.first, one.second} == {"team-00/one", "thief/one"}}
    assert set(listed) == {"mistakes", "weights", "report"}
    assert listed["weights"].evidence == "the same model file, byte by byte"
    assert "are expected of independent systems" in listed["mistakes"].evidence
    assert "passages of 8 words in common" in listed["report"].evidence
    assert {one.kind for one in found if "thief/one" not in {one.first, one.second}} == {"report"}


def _unlike(number: int) -> bytes:
    return safetensors(w=np.random.default_rng(number).normal(size=300).astype(np.float32))

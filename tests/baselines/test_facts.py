"""What is read from baseline files that do not run, and from the scores beside them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kwsbench.baseline import load_baseline
from kwsbench.baseline_facts import MOST_BYTES, BaselineFacts, list_baselines, short_source
from kwsbench.catalogue import baseline_paths
from kwsbench.errors import InputError

WHOLE = """
import torch_that_is_not_there
from elsewhere import Config, front_end

raise SystemExit("this file runs")

SOURCE = "Warden, P. (2018). Speech " "Commands."
PUBLISHED_ACCURACY: dict[str, float] = {"espeak_12": 88.2, "tiny": 99}
NUM_PARAMETERS = 1_234
MACS = 0

def recipe(config): ...
def network(config, num_labels, num_coefficients, num_frames): ...
"""

Read = Callable[..., BaselineFacts]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes one baseline with a piece of it replaced, and reads it."""

    def written(old: str = "", new: str = "") -> BaselineFacts:
        assert old in WHOLE
        (tmp_path / "baselines").mkdir(exist_ok=True)
        (tmp_path / "baselines/one.py").write_text(WHOLE.replace(old, new) if old else WHOLE, encoding="utf-8")
        (facts,) = list_baselines(tmp_path / "baselines")
        return facts

    return written


@pytest.mark.parametrize("name", baseline_paths())
def test_what_shipped_files_state_is_what_they_hold_when_they_run(name: str) -> None:
    """Reading the literals gives what importing the file gives."""
    (facts,) = (one for one in list_baselines() if one.name == name)
    module: Any = load_baseline(name)
    assert facts.problem == ""
    assert facts.path == Path(module.__file__)
    assert facts.source == getattr(module, "SOURCE", "")
    assert facts.num_parameters == getattr(module, "NUM_PARAMETERS", None)
    assert facts.macs == getattr(module, "MACS", None)
    assert facts.published_accuracy == getattr(module, "PUBLISHED_ACCURACY", {})


def test_a_file_is_read_and_never_run(read: Read, tmp_path: Path) -> None:
    """A file that would stop the program, and imports what is not there, states what it states all the same."""
    expected = BaselineFacts(
        "one",
        tmp_path / "baselines/one.py",
        "Warden, P. (2018). Speech Commands.",
        1234,
        0,
        {"espeak_12": 88.2, "tiny": 99},
    )
    assert read() == expected
    assert "one" not in sys.modules


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("def recipe(config)", "def recipe(config", "is no Python in line 12"),
        ("MACS = 0", "MACS = 0\0", "is no Python"),
        ("MACS = 0", "MACS = " + "(" * 9_999, "is no Python in line 10"),
        ("MACS = 0", "MACS = " + "-" * 99_999 + "1", "is nested too deeply"),
        ("def recipe", "def receipt", "is not complete: it has no recipe"),
        ("import Config, front_end", "import y", "is not complete: it has no Config, no front_end"),
        ("def network", "def other", "is not complete: it has no summarise, no lightgbm_parameters"),
        ("1_234", "True", "states NUM_PARAMETERS in line 9 as something else than a whole number"),
        ("1_234", "-1", "states NUM_PARAMETERS in line 9 as something else than a whole number"),
        ("MACS = 0", "MACS = 0x1" + "0" * 9_999, "states MACS in line 10 as something else than a whole number"),
        ("MACS = 0", "MACS = 2 * 3", "states MACS in line 10 as something else than a whole number"),
        ("88.2", "float('nan')", "states PUBLISHED_ACCURACY in line 8 as something else than percents by the name"),
        ("88.2", "882", "states PUBLISHED_ACCURACY in line 8 as something else than percents by the name"),
        ('"Warden', 'f"{Warden}', "states SOURCE in line 7 as something else than a text"),
    ],
    ids=lambda value: value[:30].strip(),
)
def test_what_is_wrong_with_a_file_is_said_of_it(old: str, new: str, problem: str, read: Read) -> None:
    """A broken file is in the list, with the reason and the line."""
    facts = read(old, new)
    assert (facts.name, facts.problem[: len(problem)]) == ("one", problem)


def test_one_broken_file_leaves_the_others_alone(read: Read, tmp_path: Path) -> None:
    """Folders, links to nowhere, pipes, huge files and bytes that are no text have a reason each."""
    read()
    folder = tmp_path / "baselines"
    (folder / "folder.py").mkdir()
    (folder / "link.py").symlink_to("nowhere.py")
    os.mkfifo(folder / "pipe.py")
    (folder / "huge.py").write_bytes(b"#" * (MOST_BYTES + 1))
    (folder / "latin.py").write_bytes("SOURCE = 'é'".encode("latin-1"))
    (folder / "_part.py").write_text("no baseline")
    found = {facts.name: facts.problem for facts in list_baselines(folder)}
    assert "is no Python" in found.pop("latin")
    assert found == {
        "folder": "is no file",
        "huge": "has 1,048,577 bytes, expected at most 1,048,576",
        "link": "cannot be read: no such file or directory",
        "one": "",
        "pipe": "is no file",
    }


def test_a_file_that_states_nothing_is_a_baseline_too(read: Read) -> None:
    """Counts and citations are for files that ship; a baseline of a course may leave them out."""
    start, end = WHOLE.index("SOURCE"), WHOLE.index("def recipe")
    facts = read(WHOLE[start:end])
    assert (facts.source, facts.num_parameters, facts.macs, facts.published_accuracy) == ("", None, None, {})
    assert facts.problem == ""


def test_odd_escapes_are_no_warning(read: Read) -> None:
    """What the compiler thinks of a file's text is for its author, not for whoever lists it."""
    assert read("Commands", r"\Commands").source.endswith(r"\Commands.")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A folder is named where it is missing, and an empty one is an empty list."""
    with pytest.raises(InputError, match=r"no folder with baselines at .*nowhere"):
        list_baselines(tmp_path / "nowhere")
    assert list_baselines(tmp_path) == []


@pytest.mark.parametrize(
    ("citation", "short"),
    [
        ("Banbury, C. et al. (2021). MLPerf Tiny.", "Banbury et al. (2021)"),
        ("Zhang, Y. and Suda, N. (2017). Hello Edge.", "Zhang et al. (2017)"),
        ("Li, X., Wei, X. and Qin, X. (2020). Multi-Scale (really). After (2019).", "Li et al. (2020)"),
        ("de Andrade, D. C. (2018). Attention.", "de Andrade (2018)"),
        ("Speech Technology course, week 3 (2023 to 2025), a baseline.", "Speech Technology course (2023)"),
        ("A note of ours", "A note of ours"),
        ("Somebody (a friend), 2020", "Somebody (a friend), 2020"),
        ("", ""),
    ],
)
def test_a_citation_is_shortened_to_first_author_and_year(citation: str, short: str) -> None:
    """What does not begin like a citation stays as it is."""
    assert short_source(citation) == short


def _write_score(path: Path, accuracy: Any, manifest: str | None = "espeak_12", split: str | None = "test") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"manifest": manifest, "split": split, "summary": {"accuracy": {"value": accuracy}}}
    path.write_text(json.dumps(record), encoding="utf-8")


def test_what_was_measured_comes_from_scores_beside_the_folder(read: Read, tmp_path: Path) -> None:
    """Scores on the test split count, by manifest, the mean of several; others do not."""
    scores = tmp_path / "benchmarks/results"
    _write_score(scores / "one/score.json", 0.5)
    _write_score(scores / "one/seed_1/score.json", 0.75)
    _write_score(scores / "one/tiny/score.json", 1.0, manifest="tiny")
    _write_score(scores / "one/validation/score.json", 1.0, split="validation")
    _write_score(scores / "one/truth/score.json", 1.0, manifest=None, split=None)
    _write_score(scores / "two/score.json", 0.1)
    assert read().measured_accuracy == {"espeak_12": 62.5, "tiny": 100}


@pytest.mark.parametrize("text", ["", "{}", "[]", "[" * 99_999, '{"manifest": "a", "split": "test"}', "\xff"])
def test_a_broken_score_takes_nothing_else_away(text: str, read: Read, tmp_path: Path) -> None:
    """What the file states stays, and the score is named."""
    path = tmp_path / "benchmarks/results/one/score.json"
    _write_score(path, 0.5)
    path.write_text(text, encoding="latin-1")
    facts = read()
    assert (facts.num_parameters, facts.measured_accuracy) == (1234, {})
    assert facts.problem == f"has a score that `kwsbench score` did not write: {path}"


@pytest.mark.parametrize("accuracy", ["0.5", None, float("nan"), 1.01, -0.1, [0.5]])
def test_an_accuracy_that_cannot_be_is_no_score(accuracy: Any, read: Read, tmp_path: Path) -> None:
    """Accuracies lie from 0 to 1."""
    _write_score(tmp_path / "benchmarks/results/one/score.json", accuracy)
    assert "did not write" in read().problem

"""`kwsbench baselines`: a table of what there is, without running any of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kwsbench.catalogue import baseline_paths

if TYPE_CHECKING:
    from conftest import CommandLine

OWN = """
SOURCE = "Nobody, N. and Noone, O. (2030). \\x1b[2J[bold]Nothing."
NUM_PARAMETERS = 12_345
MACS = 678_901
PUBLISHED_ACCURACY = {"espeak_12": 61.25}
class Config: ...
def front_end(config, default): ...
def recipe(config): ...
def network(config, num_labels, num_coefficients, num_frames): ...
"""


def _write_own(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine.py").write_text(OWN, encoding="utf-8")
    (folder / "broken.py").write_text("def (:\n", encoding="utf-8")


def test_every_shipped_baseline_is_a_row_with_its_figures(kws: CommandLine) -> None:
    """The table has a row per file, with short source, counts, and accuracies by manifest."""
    rows = {line.split()[0]: re.split(r"  +", line.rstrip()) for line in kws.works("baselines").out.splitlines()[2:]}
    assert set(baseline_paths()) <= set(rows)
    assert rows["tc_resnet8"] == [
        *("tc_resnet8", "Choi et al. (2019)", "65,168", "1,531,976"),
        *("96.1 speech_commands_v1_12", "95.58 speech_commands_v1_10"),
    ]


def test_the_list_needs_no_model_library(kws: CommandLine) -> None:
    """Where neither torch nor LightGBM is installed, the baselines are listed all the same."""
    hidden = {"HIDDEN_MODULES": "torch,lightgbm,onnx,onnxruntime,scipy,sklearn,matplotlib"}
    assert kws.works("baselines", env=hidden).out == kws.works("baselines").out


def test_json_has_the_whole_citation_and_numbers(kws: CommandLine) -> None:
    """`--json` prints one record per baseline, with null and empty where nothing is stated."""
    records = {record["name"]: record for record in kws.works("baselines", "--json").json}
    assert list(records) == list(baseline_paths())
    record = records["conv1d_sber"]
    assert (record["num_parameters"], record["macs"], record["problem"]) == (3_324, 76_972, None)
    assert record["source"].startswith("Speech Technology course, week 3")
    assert records["bc_resnet_1"]["published_accuracy"] == {
        "speech_commands_v1_12": 96.6,
        "speech_commands_v2_12": 96.9,
    }
    assert records["mfcc_lightgbm"]["macs"] is None


def test_a_folder_of_ones_own_is_listed_with_its_broken_files(kws: CommandLine) -> None:
    """`--baselines` lists another folder; a file that is no Python is a row with the reason, and nothing fails."""
    _write_own(kws.folder / "own")
    ran = kws.works("baselines", "--baselines", "own")
    broken, mine = ran.out.splitlines()[2:]
    assert re.match(r"broken +is no Python in line 1: invalid syntax", broken)
    assert re.match(r"mine +Nobody et al. \(2030\) +12,345 +678,901 +61.2 espeak_12", mine)
    assert [bool(record["problem"]) for record in kws.works("baselines", "--baselines", "own", "--json").json] == [
        *(True, False)
    ]


def test_what_was_measured_is_in_the_table(kws: CommandLine) -> None:
    """A score that `kwsbench score` wrote into the folder of a baseline's submission is its measured accuracy."""
    _write_own(kws.folder / "own")
    kws.works("score", "preds.csv", "--manifest", "tiny", "--out", "benchmarks/results/mine")
    (record,) = (one for one in kws.works("baselines", "--baselines", "own", "--json").json if one["name"] == "mine")
    (percent,) = record["measured_accuracy"].values()
    assert list(record["measured_accuracy"]) == ["tiny"]
    assert f"61.2 espeak_12  {percent:.2f} tiny" in kws.works("baselines", "--baselines", "own").out


def test_no_baselines_are_an_empty_list(kws: CommandLine) -> None:
    """An empty folder lists nothing and says so; a folder that is not there is an error."""
    (kws.folder / "empty").mkdir()
    ran = kws.works("baselines", "--baselines", "empty")
    assert (ran.out, "No baselines in empty" in ran.err) == ("", True)
    assert kws.works("baselines", "--baselines", "empty", "--json").json == []
    kws.fails(2, "baselines", "--baselines", "nowhere", says=["no folder with baselines at nowhere"])


@pytest.mark.parametrize("width", [30, 50, 80, 115, 116, 120, 200])
def test_no_figure_is_cut_at_any_width(width: int, kws: CommandLine) -> None:
    """Every figure and name is in one piece in a terminal of any width, in a table or in paragraphs that fit it."""
    ran = kws.works("baselines", env={"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": str(width)})
    text = re.sub(r"\x1b\[[0-9;]*m", "", ran.out)
    assert max(map(len, text.splitlines())) <= width
    for piece in ("1,626,126", "16,322,176", "tenet6_narrow", "96.9", "speech_commands_v2_12", "Svirsky"):
        assert re.search(rf"(?<![\w,.]){re.escape(piece)}(?!\w)", text), piece
    assert text.splitlines()[1].startswith("name ") == (width >= 116)


def test_a_file_cannot_steer_the_terminal(kws: CommandLine) -> None:
    """Escape codes in what a file states are shown as question marks, and markup as it is."""
    _write_own(kws.folder / "own")
    (kws.folder / "own/mine.py").write_text(OWN.replace("Nobody, N.", "\\x1b[2J[bold]No, N."), encoding="utf-8")
    ran = kws.works("baselines", "--baselines", "own")
    assert "?[2J[bold]No et al. (2030)" in ran.out
    assert "\x1b" not in ran.out

"""`kwsbench train` with networks: kills, interrupts, options, and what comes after."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from kwsbench.checkpoint.model_file import read_model_file
from kwsbench.checkpoint.network import load_network

if TYPE_CHECKING:
    from conftest import CommandLine, Ran

FOLDER = "models/tiny/tiny_network"
MODELS = ("model.pt", "last.pt", "card.md")
TRAIN = ("train", "tiny_network", "--manifest", "tiny", "--baselines", "mine", "--recipe", "batch_size=8")

# The network of the tests, which sends a signal to its own process in the batch of a number.
STOPPING = """
import itertools, os, signal
at_once, batches = network, itertools.count(1)

def network(*sizes):
    made = at_once(*sizes)
    made.register_forward_pre_hook(stop)
    return made

def stop(module, _):
    if module.training and str(next(batches)) == os.environ.get("STOP_IN"):
        os.kill(os.getpid(), getattr(signal, os.environ["STOP_BY"]))
"""

# The program, which kills itself when it would put the result of a number in its place.
KILLED_IN_SAVE = """
import os, signal
from pathlib import Path
from kwsbench import files

commit, left = files.StagedFiles.commit, int(os.environ["KILL_AT"])

def commit_or_die(stage):
    global left
    left -= Path.cwd() / "models" in {parent for path in stage._staged for parent in path.absolute().parents}
    if not left:
        for temporary in stage._staged.values():
            os.truncate(temporary, temporary.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    commit(stage)

files.StagedFiles.commit = commit_or_die
from kwsbench.cli import main
main()
"""

BATCHES_PER_EPOCH = 4
RESULTS_PER_EPOCH = 5  # state.pt, model.pt, last.pt, log.csv, card.md


@pytest.fixture
def school(kws: CommandLine, baselines: tuple) -> CommandLine:
    """The command line in a folder with `mine/tiny_network.py`, which can stop itself."""
    (kws.folder / "mine").mkdir()
    text = (baselines[1] / "tiny_network.py").read_text(encoding="utf-8")
    (kws.folder / "mine/tiny_network.py").write_text(text + STOPPING, encoding="utf-8")
    kws.env["OMP_NUM_THREADS"] = "1"
    return kws


def _models(kws: CommandLine, folder: str = FOLDER) -> dict[str, bytes]:
    return {name: content for name, content in kws.files(folder).items() if name in MODELS}


def _stopped(kws: CommandLine, batch: int, how: str, *words: str) -> Ran:
    return kws(*TRAIN, *words, env={"STOP_IN": str(batch), "STOP_BY": how})


def _killed_in_save(kws: CommandLine, number: int) -> int:
    command = [sys.executable, "-c", KILLED_IN_SAVE, *TRAIN]
    run = subprocess.run(
        command, cwd=kws.folder, env=kws.env | {"KILL_AT": str(number)}, capture_output=True, timeout=120, check=False
    )
    return run.returncode


def _epochs_in_log(kws: CommandLine) -> int:
    return len((kws.folder / FOLDER / "log.csv").read_text(encoding="utf-8").splitlines()) - 1


def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bytes(school: CommandLine) -> None:
    """Killed in an epoch, in the writing of a state, and between state and models, the same command goes on exactly."""
    assert _stopped(school, 2, "SIGKILL").code == -9
    assert not (school.folder / FOLDER / "state.pt").exists(), "no epoch was finished"

    assert _stopped(school, BATCHES_PER_EPOCH + 2, "SIGKILL").code == -9
    assert _epochs_in_log(school) == 1
    first = school.files(FOLDER)

    assert _killed_in_save(school, 4 + 1) == -9  # four results are made again, and then comes the state of epoch 2
    assert school.files(FOLDER)["state.pt"] == first["state.pt"], "half a state took its place"
    assert [name for name in school.files(FOLDER) if name.endswith(".tmp")], "it was not killed while it wrote"

    assert _killed_in_save(school, 4 + 2) == -9
    assert school.files(FOLDER)["state.pt"] != first["state.pt"]
    assert _models(school) == {name: first[name] for name in MODELS}, "the models are still those of the first epoch"
    load_network(read_model_file(school.folder / FOLDER / "model.pt"))

    went_on = school.works(*TRAIN, "--json")
    assert f"{FOLDER}: 2 epochs done; going on with epoch 3 of 3" in went_on.err
    assert (went_on.json["model"], went_on.json["last"]) == (f"{FOLDER}/model.pt", f"{FOLDER}/last.pt")
    assert (went_on.json["num_train_clips"], went_on.json["epochs"]) == (32, 3)
    school.works(*TRAIN, "-o", "whole")
    assert _models(school) == _models(school, "whole")
    assert not [name for name in school.files(FOLDER) if name.endswith(".tmp")]


def test_ctrl_c_keeps_the_last_epoch_and_says_how_to_go_on(school: CommandLine) -> None:
    """It ends with 130 and no traceback, and the model of the last epoch is there."""
    ran = _stopped(school, BATCHES_PER_EPOCH + 1, "SIGINT")
    assert ran.code == 130
    assert "Traceback" not in ran.err
    said = ran.err.splitlines()
    assert said[-2] == f"{FOLDER} keeps what 1 epoch gave; the same command, without --fresh, goes on from there"
    assert said[-1].startswith("Error: interrupted")
    load_network(read_model_file(school.folder / FOLDER / "model.pt"))


def test_a_trained_network_predicts_and_has_a_budget(school: CommandLine) -> None:
    """The command that comes next works as it is printed, and `check-budget` takes the model."""
    ran = school.works(*TRAIN)
    assert re.fullmatch(
        rf"{FOLDER}/model\.pt: \d+\.\d\d % on the validation split after epoch . of 3 on 32 clips\n", ran.out
    )
    line = ran.err.splitlines()[-1]
    assert line.startswith(f"Next: kwsbench predict {FOLDER}/model.pt --manifest tiny --split test")
    school.works(*line.removeprefix("Next: kwsbench ").split())
    school.works("check-budget", f"{FOLDER}/model.pt", "--baselines", "mine", "--max-params", "2000")


def test_several_processes_share_the_batches(school: CommandLine) -> None:
    """Two processes train one network, of which one speaks and writes."""
    words = (*TRAIN, "--devices", "2", "--epochs", "2", "--device", "cpu")
    ran = school.works(*words, "-o", "two")
    assert ran.out.count("on the validation split") == 1
    assert ran.err.count("epoch 1 of 2") == 1
    load_network(read_model_file(school.folder / "two/model.pt"))


def test_a_trained_network_teaches_and_is_not_written_over(school: CommandLine) -> None:
    """Both of its checkpoints teach a student, in two processes; a student in the same folder is an error."""
    school.works(*TRAIN, "--epochs", "1")
    before = _models(school)
    teachers = ("--teacher", f"{FOLDER}/model.pt", "--teacher", f"{FOLDER}/last.pt")
    school.fails(2, *TRAIN, "--fresh", *teachers[2:], says=["last.pt: it is the teacher", "would be lost"])
    school.works(*TRAIN, *teachers, "--devices", "2", "--epochs", "1", "--device", "cpu", "-o", "student")
    assert _models(school) == before
    card = (school.folder / "student/card.md").read_text(encoding="utf-8")
    assert card.partition("## Teachers")[2].count("- `tiny_network`") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tiny_network", "--recipe", "learnin_rate=1"), "did you mean 'learning_rate'"),
        (("tiny", "--epochs", "3"), "--epochs can only be given for networks"),
        (("tiny", "--recipe", "epochs=3", "--fresh"), "--recipe, --fresh can only be given for networks"),
        (("tiny", "--device", "cpu"), "--device can only be given for networks"),
        (("tiny", "--teacher", "model.pt"), "--teacher can only be given for networks"),
        (("tiny_network", "--teacher", "none.pt"), "cannot read the model none.pt: no such file"),
        (("tiny_network", "--teacher", "models/tiny/tiny.txt"), "(lightgbm) cannot teach: it is no network in torch"),
        (("tiny_network", "--recipe", "distillation.temperature=2"), "name one with --teacher MODEL"),
    ],
)
def test_wrong_usage_is_one_error(words: tuple[str, ...], said: str, kws: CommandLine, baselines: tuple) -> None:
    """Unknown keys, and options of the other kind of baseline, are told before anything is written."""
    kws.fails(2, "train", *words, "--manifest", "tiny", *baselines, says=[said])


def test_what_was_trained_survives_another_seed_and_a_full_disk(school: CommandLine) -> None:
    """Another seed in the same folder is named; where a state cannot be written, one error says so. The models stay."""
    school.works(*TRAIN, "--epochs", "1")
    others = (*TRAIN, "--epochs", "1", "--seed", "3")
    school.fails(2, *others, says=["--seed: found 0 in the state, expected 3", "--fresh"])
    before = _models(school)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))

    ran = school(*others, "--fresh", preexec_fn=limit)
    school.check_failure(ran, 2, ["cannot write", "state.pt", "begins again"])
    assert _models(school) == before


def test_without_fabric_it_says_what_to_install(school: CommandLine) -> None:
    """Without Lightning Fabric the extra `train` is named."""
    hidden = {"HIDDEN_MODULES": f"{school.env['HIDDEN_MODULES']},lightning_fabric"}
    ran = school(*TRAIN, env=hidden)
    school.check_failure(ran, 2, ["Lightning Fabric is not installed", "pip install 'kwsbench[train]'"])

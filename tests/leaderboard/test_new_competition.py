"""A new competition: what is made can be read, built and run, and its workflows have no more rights than they need."""

from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kwsbench.catalogue import manifest_paths
from kwsbench.errors import InputError
from kwsbench.leaderboard.collect import Sources, collect
from kwsbench.leaderboard.hidden import private_clips
from kwsbench.leaderboard.new_competition import KEY_FILE, Made, Plan, make_competition
from kwsbench.leaderboard.rules import Rules, read_rules
from kwsbench.manifest import read_manifest
from kwsbench.submission.judging import House, judge
from kwsbench.submission.record import find_submissions, read_submission
from tests.conftest import Tiny
from tests.leaderboard.courses import truth_of

yaml = pytest.importorskip("yaml")


def _rules(folder: Path) -> Rules:
    return read_rules(folder / "leaderboard" / "competition.toml")


def _workflow(folder: Path, name: str) -> Any:
    return yaml.safe_load((folder / ".github" / "workflows" / name).read_text(encoding="utf-8"))


def _made(folder: Path, **plan: Any) -> Made:
    return make_competition(folder, Plan(**{"manifest": "espeak_12", **plan}))


@pytest.mark.parametrize("name", manifest_paths())
def test_what_is_made_of_a_manifest_reads_back(tmp_path: Path, name: str) -> None:
    """Rules, manifest and example of every shipped benchmark are read by the readers that a competition uses."""
    made = _made(tmp_path / "course", manifest=name)
    rules = _rules(made.folder)
    assert rules.manifest is not None
    assert read_manifest(Path(rules.manifest)).name == name
    assert read_submission(made.folder / "submissions" / "example" / "first").manifest == name
    assert {"README.md", "HOST.md", ".gitignore", "leaderboard/competition.toml"} <= set(made.files)
    assert not any(f"@{word}@" in line for line in _lines(made) for word in ("NAME", "TITLE", "PREPARE", "TEXT"))


def _lines(made: Made) -> list[str]:
    texts = [made.folder / file for file in made.files if not file.endswith((".safetensors", ".toml"))]
    return [line for path in texts for line in path.read_text(encoding="utf-8").splitlines()]


def test_with_prepared_data_the_example_is_a_valid_entry(tiny: Tiny, tmp_path: Path) -> None:
    """The example predicts every clip of a prepared data set, passes every check, and stands on a board."""
    tiny.prepare()
    made = _made(tmp_path / "course", manifest=str(tiny.manifest_path), data=tiny.places.root)
    house = House(_rules(made.folder).manifest, data=tiny.places.root)
    (folder,) = find_submissions(made.folder / "submissions")
    assert made.example_is_whole
    assert judge(folder, house).problems == ()
    board = collect(made.folder / "submissions", _rules(made.folder), Sources(house, jobs=1))
    assert [(entry.key, entry.rank, entry.main.value) for entry in board.entries] == [("example/first", 1, 0.25)]
    assert board.num_clips == 8


def test_titles_of_all_kinds_come_out_as_they_went_in(tmp_path: Path) -> None:
    """A title may have quotes, backslashes and letters of any script."""
    for number, title in enumerate(['Say "yes"', "C:\\new\\table", "Ключевые слова", "a'''b", 'x"""y']):
        made = _made(tmp_path / str(number), title=title)
        assert _rules(made.folder).title == title


def test_the_deadline_is_by_the_clocks_of_the_zone(tmp_path: Path) -> None:
    """A deadline without an offset is a time in the competition's zone."""
    made = _made(tmp_path / "a", timezone="Europe/Berlin", deadline=datetime.fromisoformat("2026-12-20T23:59:59"))
    assert _rules(made.folder).deadline == datetime(2026, 12, 20, 22, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"manifest": "espeak_13"}, "did you mean"),
        ({"timezone": "Mars/Base"}, "no time zone"),
        ({"private_share": 1.5}, "share"),
        ({"title": "a\nb"}, "title"),
        (
            {"timezone": "Europe/Berlin", "deadline": datetime.fromisoformat("2026-03-29T02:30:00")},
            "2026-03-29T03:30:00",
        ),
    ],
)
def test_a_plan_that_cannot_be_leaves_nothing_behind(tmp_path: Path, plan: dict[str, Any], words: str) -> None:
    """Where the rules would not be valid nothing is written."""
    with pytest.raises(InputError, match=words):
        _made(tmp_path / "course", **plan)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    """An existing file, folder or link is refused and stays; an empty folder is filled."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years", encoding="utf-8")
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("full", "file", "link"):
        with pytest.raises(InputError, match="is not empty"):
            _made(tmp_path / name)
    assert (tmp_path / "full" / "thesis.tex").read_text(encoding="utf-8") == "years"
    (tmp_path / "empty").mkdir()
    assert _made(tmp_path / "empty").files


def test_the_key_is_secret_and_fits_the_rules(tmp_path: Path) -> None:
    """The key is in a file that only its owner reads and that git ignores, and the rules hold its hash alone."""
    made = _made(tmp_path / "course", private_share=0.5)
    file = made.folder / KEY_FILE
    key, rules = file.read_text(encoding="utf-8").strip(), _rules(made.folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert rules.private is not None
    assert rules.hides
    assert 0 < private_clips(truth_of(), rules.private, key).sum() < 200
    others = "".join(
        (made.folder / name).read_text(encoding="utf-8", errors="replace") for name in made.files if name != KEY_FILE
    )
    assert key not in others
    assert f"/{KEY_FILE}" in (made.folder / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert KEY_FILE in (made.folder / "HOST.md").read_text(encoding="utf-8")


def test_two_competitions_have_two_keys(tmp_path: Path) -> None:
    """Keys are drawn anew each time; without a private part there is none."""
    keys = {(_made(tmp_path / name, private_share=0.5).folder / KEY_FILE).read_text(encoding="utf-8") for name in "ab"}
    assert len(keys) == 2
    assert KEY_FILE not in _made(tmp_path / "c").files


def test_the_workflow_for_pull_requests_may_only_read(tmp_path: Path) -> None:
    """What runs strangers' code has read-only rights, no secrets, no token on disk, and no other trigger."""
    folder = _made(tmp_path / "course").folder
    text = (folder / ".github" / "workflows" / "validate.yml").read_text(encoding="utf-8")
    workflow = _workflow(folder, "validate.yml")
    assert workflow["permissions"] == {"contents": "read"}
    assert set(workflow[True]) == {"pull_request"}  # YAML takes `on` for a truth value
    assert all("permissions" not in job for job in workflow["jobs"].values())
    assert "secrets." not in text
    assert "pull_request_target" not in text
    checkout = workflow["jobs"]["validate"]["steps"][0]
    assert checkout["with"]["persist-credentials"] is False


def test_only_the_job_that_runs_nothing_may_publish(tmp_path: Path) -> None:
    """The publishing workflow runs on main alone; its build may read, and the job with more rights runs no command."""
    workflow = _workflow(_made(tmp_path / "course").folder, "publish.yml")
    assert set(workflow[True]) == {"push", "workflow_dispatch"}
    assert workflow[True]["push"] == {"branches": ["main"]}
    assert workflow["permissions"] == workflow["jobs"]["build"]["permissions"] == {"contents": "read"}
    publish = workflow["jobs"]["publish"]
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}
    assert all("run" not in step for step in publish["steps"])
    with_secrets = [step["name"] for step in workflow["jobs"]["build"]["steps"] if "secrets." in str(step)]
    assert with_secrets == ["Build the leaderboard"]


@pytest.mark.parametrize("file", ["validate.yml", "publish.yml"])
def test_no_text_of_strangers_is_put_into_a_script(tmp_path: Path, file: str) -> None:
    """Scripts take what GitHub knows of a pull request through variables, never as text, and are valid shell."""
    workflow = _workflow(_made(tmp_path / "course").folder, file)
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            script = step.get("run", "")
            assert "${{" not in script
            subprocess.run(["bash", "-n"], input=script.encode(), check=True)


def test_changed_entries_are_found_by_the_script(tmp_path: Path) -> None:
    """The script of the pull request hands each changed entry to `validate` once, whatever its files are called."""
    workflow = _workflow(_made(tmp_path / "course").folder, "validate.yml")
    script = workflow["jobs"]["validate"]["steps"][-1]["run"].replace(
        "xargs -0 --no-run-if-empty kwsbench", "xargs -0 -n 1 echo"
    )
    repository = tmp_path / "repository"
    entry, other = repository / "submissions" / "owls" / "one", repository / "submissions" / "cats" / "a b"
    for folder in (entry, other):
        folder.mkdir(parents=True)
        (folder / "gone.md").write_text("x", encoding="utf-8")
    _git(repository, "init", "-q")
    _commit(repository)
    base = _git(repository, "rev-parse", "HEAD").strip()
    for name in ("model.pt", "pictures/x y.png", "$(touch hacked).md"):
        (entry / name).parent.mkdir(exist_ok=True)
        (entry / name).write_text(name, encoding="utf-8")
    (other / "new.md").write_text("x", encoding="utf-8")
    (repository / "README.md").write_text("x", encoding="utf-8")
    _commit(repository)
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=repository, env={"BASE": base, "PATH": "/usr/bin:/bin"},
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    words = said.replace("submission validate", "").split("\n")
    assert {word.strip() for word in words} - {""} == {"submissions/owls/one", "submissions/cats/a b"}
    assert not (repository / "hacked").exists()


def _git(repository: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=repository, capture_output=True, check=True, text=True).stdout


def _commit(repository: Path) -> None:
    _git(repository, "add", "-A")
    _git(repository, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x")

"""`kwsbench leaderboard`: build, diff, grades, similar, as a host uses them."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from kwsbench.cli.leaderboards import KEY_VARIABLE, app
from kwsbench.errors import InputError
from kwsbench.leaderboard.rule_tables import hash_of_key
from tests.leaderboard.courses import Course

KEY = "k" * 40
PRIVATE = f'[private]\nshare = 0.5\nkey_sha256 = "{hash_of_key(KEY)}"'


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A competition with two entries and a broken one, in the current folder, and a cache of the test's own."""
    course = Course(tmp_path / "course", '[points]\nby = "band"\nbands = [10, 5]')
    course.add("owls/one", 3)
    course.add("cats/one", 60)
    (course.submissions / "cats" / "broken").mkdir()
    monkeypatch.chdir(course.root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    return course


def _run(*words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--competition", "competition.toml"])


def _works(*words: str) -> str:
    ran = _run(*words)
    assert ran.exit_code == 0, ran.output + repr(ran.exception)
    return str(ran.stdout)


def _fails(*words: str) -> str:
    error = _run(*words).exception
    assert isinstance(error, InputError), repr(error)
    return str(error)


def _json(*words: str) -> Any:
    return json.loads(_works(*words, "--json"))


def test_build_writes_a_site_and_names_what_was_rejected(course: Course) -> None:
    """The site is in the folder that was named; rejected entries are told with their reasons."""
    said = _run("build", "--out", "out")
    assert said.exit_code == 0, repr(said.exception)
    assert "2 entries on" in said.stdout
    assert "cats/broken is rejected: " in said.stderr
    assert "2 of 2 entries are not backed by a run of their models." in said.stderr
    assert (course.root / "out" / "index.html").is_file()


def test_build_twice_gives_the_same_bytes(course: Course) -> None:
    """Equal input gives an equal site, with a cache and without one."""
    _works("build", "--out", "one")
    _works("build", "--out", "two")
    _works("build", "--out", "three", "--cache", "another")
    sites = [
        {file.relative_to(site).as_posix(): file.read_bytes() for file in site.rglob("*") if file.is_file()}
        for site in (course.root / name for name in ("one", "two", "three"))
    ]
    assert sites[0] == sites[1] == sites[2]


def test_build_as_json_says_what_was_built(course: Course) -> None:
    """The JSON has the folder, the number of entries, and the reasons of those that were rejected."""
    record = _json("build")
    assert (record["folder"], record["entries"], list(record["rejected"])) == ("site", 2, ["cats/broken"])
    assert course.root.joinpath("site").is_dir()


def test_diff_says_what_a_rebuild_would_change(course: Course) -> None:
    """After a build nothing changes; a new entry is named, and the site is not touched."""
    _works("build")
    assert _works("diff") == "nothing changes\n"
    course.add("dogs/one", 0)
    sentences = _json("diff", "site")
    assert sentences[0].startswith("dogs/one is new, and has rank 1 in band 1 with 1.0000")
    assert "owls/one moves from rank 1 to rank 2" in sentences
    assert _works("diff").splitlines() == sentences


def test_diff_without_a_site_says_how_to_make_one(course: Course) -> None:
    """Where nothing was built there is nothing to compare with."""
    assert course.root.is_dir()
    assert "build the site first" in _fails("diff", "nowhere")


def test_grades_are_a_table_a_csv_and_json(course: Course) -> None:
    """Every team has a line with its points and how they came about."""
    table = _works("grades")
    assert "band 1 gets 10" in table
    assert _works("grades", "-o", "grades.csv") == "grades.csv: 2 teams\n"
    rows = list(csv.DictReader((course.root / "grades.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["team"], row["points"]) for row in rows] == [("cats", "5"), ("owls", "10")]
    assert [(row["team"], row["points"]) for row in _json("grades")] == [("cats", 5.0), ("owls", 10.0)]
    assert "broken: rejected" in rows[0]["other_entries"]


def test_grades_are_not_written_over_the_rules(course: Course) -> None:
    """An output that is an input is refused before anything is read."""
    assert "would be lost" in _fails("grades", "-o", "competition.toml")
    assert course.rules.points is not None


def test_similar_lists_pairs_or_says_that_there_are_none(course: Course) -> None:
    """A copied model is listed as something to look at, and no more."""
    copy = course.add("dogs/one", 7)
    (copy / "model.safetensors").write_bytes((course.submissions / "owls/one/model.safetensors").read_bytes())
    (copy / "report.md").write_text("# Other\n" + "".join(_other_report()), encoding="utf-8")
    course.seal(copy)
    (found,) = [one for one in _json("similar") if one["kind"] == "weights"]
    assert (found["first"], found["second"], found["strength"]) == ("dogs/one", "owls/one", 1.0)
    ran = _run("similar")
    assert "the same model file, byte by byte" in ran.stdout
    assert "not a verdict" in ran.stderr


def _other_report() -> list[str]:
    from kwsbench.submission.report import SECTIONS

    return [f"## {name}\n\nNumber {number} said otherwise.\n\n" for number, name in enumerate(SECTIONS)]


def test_the_key_comes_from_a_file_a_variable_or_where_init_puts_it(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a part is hidden the host's key is needed, from any of three places; a wrong one is refused."""
    course.set_rules(PRIVATE)
    assert "--key" in _fails("build")
    (course.root / "elsewhere.txt").write_text(f"{KEY}\n", encoding="utf-8")
    _works("build", "--key", "elsewhere.txt")
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    _works("build")
    monkeypatch.setenv(KEY_VARIABLE, "x" * 40)
    assert "not the one" in _fails("build")
    monkeypatch.delenv(KEY_VARIABLE)
    (course.root / "private_key.txt").write_text(KEY, encoding="utf-8")
    assert KEY not in "".join(map(str, _json("build").values()))
    assert "cannot read the key" in _fails("build", "--key", "nowhere.txt")


def test_the_key_is_nowhere_in_the_site(course: Course) -> None:
    """What is published while a part is hidden holds the hash of the key and not the key."""
    course.set_rules(PRIVATE)
    (course.root / "private_key.txt").write_text(KEY, encoding="utf-8")
    _works("build")
    content = b"".join(file.read_bytes() for file in (course.root / "site").rglob("*") if file.is_file())
    assert KEY.encode() not in content


def test_times_of_receipt_can_be_given(course: Course) -> None:
    """An entry that the host received after the deadline is rejected."""
    course.set_rules("deadline = 2026-11-03T00:00:00Z")
    (course.root / "received.csv").write_text("key,received\nowls/one,2026-11-04T00:00:00Z\n", encoding="utf-8")
    rejected = _json("build", "--received", "received.csv")["rejected"]
    assert set(rejected) == {"cats/broken", "owls/one"}


def test_without_rules_it_is_said_how_to_make_some(course: Course) -> None:
    """A folder without a competition is told about `kwsbench init`."""
    (course.root / "competition.toml").unlink()
    assert "kwsbench init" in _fails("build")


def test_a_build_that_is_killed_leaves_the_old_site(course: Course) -> None:
    """A process that ends in the middle of writing leaves the site that was there, whole."""
    _works("build")
    before = {file: file.read_bytes() for file in (course.root / "site").rglob("*") if file.is_file()}
    course.add("dogs/one", 0)
    killed = (
        "import os, sys\nfrom pathlib import Path\n"
        "import kwsbench.leaderboard.site.build as build\n"
        "write, count = Path.write_bytes, [0]\n"
        "def write_some(path, data):\n"
        "    count[0] += 1\n"
        "    if 'site' in str(path) and count[0] > 6: os._exit(9)\n"
        "    return write(path, data)\n"
        "Path.write_bytes = write_some\n"
        "from kwsbench.cli.leaderboards import app\n"
        "app(['build', '--competition', 'competition.toml'])\n"
    )
    ran = subprocess.run([sys.executable, "-c", killed], cwd=course.root, check=False, capture_output=True)
    assert ran.returncode == 9, ran.stderr.decode()
    assert {file: file.read_bytes() for file in (course.root / "site").rglob("*") if file.is_file()} == before
    _works("build")
    assert not list(course.root.glob(".site.*"))


def test_serve_shows_the_site_and_builds_it_again(course: Course) -> None:
    """The site is at the address that is said, and has a new entry a moment after it came; Ctrl-C ends it in peace."""
    words = ["serve", "--port", "0", "--competition", "competition.toml"]
    code = f"import sys; from kwsbench.cli.leaderboards import app; app({words!r})"
    process = subprocess.Popen([sys.executable, "-u", "-c", code], cwd=course.root, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split(" at ")[1].split()[0]
        assert "owls" in _page(address)
        assert "foxes" not in _page(address)
        course.add("foxes/one", 0)
        assert "built again" in process.stdout.readline()
        assert "foxes" in _page(address)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def _page(address: str) -> str:
    with urllib.request.urlopen(address) as page:  # noqa: S310 -- the address that was said
        return str(page.read().decode())


def test_nothing_heavy_is_loaded_by_importing_the_leaderboard() -> None:
    """The modules of the leaderboard load neither torch nor LightGBM, joblib, Dask, Jinja, nh3 or SciPy."""
    code = (
        "import sys, pkgutil, importlib, kwsbench.leaderboard as package\n"
        "for module in pkgutil.iter_modules(package.__path__):\n"
        "    importlib.import_module(f'kwsbench.leaderboard.{module.name}')\n"
        "import kwsbench.cli.leaderboards, kwsbench.cli.competitions\n"
        "heavy = {'torch', 'lightgbm', 'joblib', 'dask', 'jinja2', 'nh3', 'scipy', 'onnx'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "[]\n"

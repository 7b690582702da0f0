"""Many entries side by side: what hangs or crashes stops nobody, and only what is new is done."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kwsbench.budget.limits import FoundLimits
from kwsbench.budget.report import Limits
from kwsbench.errors import InputError
from kwsbench.submission import verify as verify_module
from kwsbench.submission.deciding import Outcome
from kwsbench.submission.judging import House
from kwsbench.submission.processes import Work
from kwsbench.submission.record import Verdict, Verification
from kwsbench.submission.verify import Verifying, cached_verification, verify_all
from tests.submission.conftest import BASELINES, edit, name_baseline

MakeEntry = Callable[..., Path]

HANG = """
import os
from pathlib import Path

def summarise(features, config):
    if "PID_FILE" in os.environ:
        Path(os.environ["PID_FILE"]).write_text(str(os.getpid()))
    while True:
        pass
"""
CRASH = """
import os

def summarise(features, config):
    os.abort()
"""
PATIENCE_S = 60


@pytest.fixture
def bad_house(house: House, tmp_path: Path) -> House:
    """A house among whose baselines is one that never ends and one that crashes."""
    folder = tmp_path / "baselines"
    shutil.copytree(BASELINES, folder)
    tiny = (folder / "tiny.py").read_text()
    (folder / "hang.py").write_text(tiny + HANG)
    (folder / "crash.py").write_text(tiny + CRASH)
    return dataclasses.replace(house, baselines=folder)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of the test's own."""
    return tmp_path / "cache"


def _verify(folders: list[Path], verifying: Verifying) -> dict[str, Verification]:
    results = list(verify_all(folders, verifying))
    assert sorted(folder for folder, _ in results) == sorted(set(folders))
    return {folder.name: verification for folder, verification in results}


def test_a_crash_stops_nobody(make_entry: MakeEntry, bad_house: House, cache: Path) -> None:
    """Beside a model that crashes its process an honest one is verified; the crash is told by its signal."""
    crash = make_entry("crash", lambda folder: name_baseline(folder, "crash"))
    told = _verify([crash, make_entry("fine")], Verifying(bad_house, workers=2, cache=cache))
    assert told["fine"].verdict is Verdict.VERIFIED
    assert told["crash"].verdict is Verdict.REFUSED
    assert "ended by SIGABRT" in told["crash"].reason
    assert told["crash"].accuracy is not None


def test_a_model_that_never_ends_is_stopped(make_entry: MakeEntry, bad_house: House, cache: Path) -> None:
    """At its time limit a model is stopped, and others come out as ever; what is stopped once is not tried again."""
    hang = make_entry("hang", lambda folder: name_baseline(folder, "hang"))
    bad = make_entry("bad", lambda folder: (folder / "report.md").write_text("x"))
    verifying = Verifying(bad_house, workers=2, cache=cache, time_limit_s=8)
    told = _verify([hang, bad], verifying)
    assert told["hang"].verdict is Verdict.REFUSED
    assert "did not end within 8 s" in told["hang"].reason
    assert told["bad"].verdict is Verdict.INVALID
    assert cached_verification(hang, verifying) == told["hang"]
    assert cached_verification(hang, dataclasses.replace(verifying, time_limit_s=9)) is None


def _forbid_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "run_all", lambda *_: pytest.fail("something was verified again"))


def test_a_second_run_does_nothing(
    make_entry: MakeEntry, house: House, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was verified is not verified again, and comes out the same."""
    folder, verifying = make_entry(), Verifying(house, cache=cache)
    first = _verify([folder], verifying)
    _forbid_work(monkeypatch)
    assert _verify([folder, folder], verifying) == first


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the entries that were not in the cache; they are judged without being run."""
    names: list[str] = []

    def judged(folders: list[Path], _: object) -> object:
        for folder in folders:
            names.append(folder.name)
            outcome = verify_module.verify(folder, House("tiny", data=CURRENT["data"], baselines=BASELINES), run=False)
            yield folder, outcome

    monkeypatch.setattr(verify_module, "run_all", judged)
    return names


CURRENT: dict[str, Path | None] = {}


@pytest.fixture
def verifying(house: House, cache: Path) -> Verifying:
    """How entries are verified here."""
    CURRENT["data"] = house.data
    return Verifying(house, cache=cache)


@pytest.mark.parametrize("file", ["report.md", "predictions.csv", "model.txt", "submission.toml", "pictures/a.png"])
def test_any_changed_file_is_looked_at_again(file: str, entry: Path, verifying: Verifying, counted: list[str]) -> None:
    """The cache knows an entry by all of its files: one byte more in any of them, and it is verified anew."""
    _verify([entry], verifying)
    (entry / "pictures").mkdir()
    with (entry / file).open("ab") as handle:
        handle.write(b"\n")
    _verify([entry], verifying)
    _verify([entry], verifying)
    assert counted == ["tones", "tones"]


@pytest.mark.parametrize(
    "change",
    [
        lambda house, _: dataclasses.replace(house, limits=FoundLimits(Limits(max_params=3), "x")),
        lambda house, folder: dataclasses.replace(house, baselines=_other_baselines(folder)),
        lambda house, folder: dataclasses.replace(house, truth=_truth(house, folder)),
    ],
    ids=["limits", "baselines", "truth"],
)
def test_other_terms_are_another_question(
    change: Callable[[House, Path], House], entry: Path, verifying: Verifying, counted: list[str], tmp_path: Path
) -> None:
    """Under other limits, with other baselines or against another truth, nothing that is kept holds."""
    _verify([entry], verifying)
    _verify([entry], dataclasses.replace(verifying, house=change(verifying.house, tmp_path)))
    assert counted == ["tones", "tones"]


def _other_baselines(folder: Path) -> Path:
    shutil.copytree(BASELINES, folder / "others")
    with (folder / "others" / "tiny.py").open("a") as file:
        file.write("\nX = 1\n")
    return folder / "others"


def _truth(house: House, folder: Path) -> Path:
    from kwsbench.submission.judging import terms_of

    dataset = terms_of(house, "tiny").dataset
    assert dataset is not None
    dataset.split("test").select("path", "label").write_csv(folder / "truth.csv")
    return folder / "truth.csv"


def test_a_copy_under_another_name_is_judged_for_itself(entry: Path, verifying: Verifying, counted: list[str]) -> None:
    """The same files in another team's folder do not inherit a verdict."""
    _verify([entry], verifying)
    copy = entry.parent.parent / "red-foxes" / "tones"
    shutil.copytree(entry, copy)
    assert _verify([copy], verifying)["tones"].verdict is Verdict.INVALID
    assert len(counted) == 2


@pytest.mark.parametrize(
    "name", [b"\xff.txt", b"a\x1b[2J\n.txt", "\u202ea.txt".encode()], ids=["bytes", "escape", "turned"]
)
def test_a_hostile_file_name_is_one_invalid_entry(name: bytes, entry: Path, house: House, cache: Path) -> None:
    """A name that is not UTF-8, or steers terminals, is told as question marks, and the outcome is kept."""
    (Path(os.fsdecode(os.fsencode(entry) + b"/" + name))).write_text("")
    verifying = Verifying(house, cache=cache)
    told = _verify([entry], verifying)["tones"]
    assert told.verdict is Verdict.INVALID
    assert told.reason.isprintable()
    assert cached_verification(entry, verifying) == told


def test_fresh_asks_again(entry: Path, verifying: Verifying, counted: list[str]) -> None:
    """With `fresh` what is kept does not count."""
    _verify([entry], verifying)
    _verify([entry], dataclasses.replace(verifying, fresh=True))
    assert len(counted) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"verdict": "verified"}', b"\xff"], ids=repr)
def test_a_damaged_cache_is_no_cache(content: bytes, entry: Path, verifying: Verifying, counted: list[str]) -> None:
    """What is not whole in the cache is verified again, and replaced."""
    _verify([entry], verifying)
    assert verifying.cache is not None
    (kept,) = verifying.cache.glob("*.json")
    kept.write_bytes(content)
    told = _verify([entry], verifying)
    assert len(counted) == 2
    assert Verification.from_json(json.loads(kept.read_text(encoding="utf-8"))) == told["tones"]


def test_what_hangs_on_this_machine_is_not_kept(entry: Path, verifying: Verifying, counted: list[str]) -> None:
    """Without the clips an outcome is for now, and nothing is written down."""
    house = House(str((verifying.house.data or Path()) / "tiny" / "manifest.toml"))
    elsewhere = dataclasses.replace(verifying, house=house)
    list(verify_all([entry], dataclasses.replace(elsewhere, run=True, cache=None)))
    assert counted == ["tones"]
    assert verifying.cache is not None
    assert not verifying.cache.exists()


def test_a_house_without_data_is_an_error(entry: Path, house: House, cache: Path, tmp_path: Path) -> None:
    """What is wrong with the host's own options is said once, and is no verdict."""
    with pytest.raises(InputError, match=r"no manifest is called .tiny."):
        list(verify_all([entry], Verifying(dataclasses.replace(house, data=tmp_path / "none"), cache=cache)))


SCRIPT = """
import sys
from pathlib import Path
from kwsbench.submission.verify import House, Verifying, verify_all
workers = int(sys.argv[1])
data, baselines, cache, *folders = map(Path, sys.argv[2:])
house = House("tiny", data=data, baselines=baselines)
for folder, told in verify_all(folders, Verifying(house, workers=workers, cache=cache)):
    print(folder.name, told.verdict, flush=True)
"""


@pytest.mark.parametrize(("how", "workers"), [(signal.SIGKILL, 1), (signal.SIGINT, 2)], ids=["kill", "Ctrl-C"])
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux to see that a process is gone")
def test_a_run_that_is_stopped_goes_on_where_it_was(  # noqa: PLR0913, PLR0917
    how: signal.Signals, workers: int, make_entry: MakeEntry, bad_house: House, cache: Path, tmp_path: Path
) -> None:
    """After a kill or Ctrl-C in the middle nothing runs on, and what came out before is kept."""
    fine, hang = make_entry("fine"), make_entry("hang", lambda folder: name_baseline(folder, "hang"))
    arguments = [str(workers), str(bad_house.data), str(bad_house.baselines), str(cache), str(fine), str(hang)]
    pid_file = tmp_path / "pid"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PID_FILE": str(pid_file)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"fine verified\n"
        _wait(lambda: pid_file.exists() and bool(pid_file.read_text()))
        process.send_signal(how)
        process.wait(PATIENCE_S)
        process.stdout.close()
    finally:
        process.kill()
    worker = Path("/proc", pid_file.read_text())
    _wait(lambda: not worker.exists() or "\nState:\tZ" in (worker / "status").read_text())
    kept = cached_verification(fine, Verifying(bad_house, cache=cache))
    assert kept is not None
    assert kept.verdict is Verdict.VERIFIED
    assert [path.suffix for path in cache.iterdir()] == [".json"]


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def test_nothing_is_imported_from_the_current_folder(
    entry: Path, house: House, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `json.py` that a pull request brought along is not what a worker imports."""
    (tmp_path / "json.py").write_text("import os\nos._exit(3)\n")
    (tmp_path / "numpy.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.chdir(tmp_path)
    assert _verify([entry], Verifying(house, cache=cache))["tones"].verdict is Verdict.VERIFIED


def test_a_dask_cluster_does_the_same(make_entry: MakeEntry, house: House, cache: Path) -> None:
    """With the address of a scheduler its workers verify, and the verdicts are those of this machine."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    bad = make_entry("bad", lambda folder: (folder / "report.md").write_text("x"))
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        verifying = Verifying(house, dask=cluster.scheduler_address, cache=cache)
        told = _verify([make_entry("fine"), bad], verifying)
    assert {name: one.verdict for name, one in told.items()} == {"fine": Verdict.VERIFIED, "bad": Verdict.INVALID}


def test_a_cluster_that_sees_other_files_is_told(
    entry: Path, verifying: Verifying, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a worker has judged something else than what lies here, that is an error and not a verdict."""
    judged = verify_module.run_all

    def elsewhere(folders: list[Path], work: Work) -> Iterator[tuple[Path, Outcome]]:
        for folder, outcome in judged(folders, work):
            other = dataclasses.replace(outcome.verification, content_sha256="0" * 64)
            yield folder, dataclasses.replace(outcome, verification=other)

    monkeypatch.setattr(verify_module, "run_all", elsewhere)
    with pytest.raises(InputError, match="sees other files"):
        list(verify_all([entry], dataclasses.replace(verifying, dask="tcp://cluster:1")))
    assert counted == ["tones"]
    assert verifying.cache is not None
    assert not verifying.cache.exists()


def test_a_cluster_that_is_not_there_is_one_message(
    entry: Path, house: House, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody answers, the message names the address."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr("kwsbench.submission.processes._CONNECT_S", 1)
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(verify_all([entry], Verifying(house, dask="tcp://127.0.0.1:9", cache=cache)))


def test_an_entry_of_another_benchmark_needs_its_own_data(entry: Path, house: House, cache: Path) -> None:
    """Where the house names no benchmark, the entry's word for it is looked up by name and never taken for a path."""
    assert _verify([entry], Verifying(dataclasses.replace(house, manifest=None), cache=cache))["tones"].verdict is (
        Verdict.VERIFIED
    )
    edit(entry / "submission.toml", 'manifest = "tiny"', 'manifest = "nothing"')
    told = _verify([entry], Verifying(dataclasses.replace(house, manifest=None), cache=cache))["tones"]
    assert told.verdict is Verdict.INVALID

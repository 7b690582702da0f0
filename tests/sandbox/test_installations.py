"""The sandbox finds Python and kwsbench in the ways in which people install them, and shows no more than these."""

from __future__ import annotations

import errno
import json
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import kwsbench
from tests.sandbox.conftest import TASKS
from tests.sandboxed import needs_sandbox

pytestmark = needs_sandbox

PACKAGE = Path(kwsbench.__file__).parent

_CALL = """
import json, sys
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[1])
from kwsbench.sandbox import call
paths = json.loads(sys.argv[3])
print(json.dumps(call("hostile:read", {"paths": paths}, what="model.pt", python_path=[Path(sys.argv[2])]).record))
"""


def _read_inside(python: Path, imports: list[Path], paths: list[Path]) -> dict[str, int]:
    """Starts `python`, which imports from `imports`, and returns the errors of reading `paths` in its sandbox."""
    lists = [json.dumps([str(path) for path in group]) for group in (imports, paths)]
    command = [str(python), "-c", _CALL, lists[0], str(TASKS), lists[1]]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert result.returncode == 0, result.stderr
    answers: dict[str, int] = json.loads(result.stdout)
    return answers


def _installed() -> list[Path]:
    return [Path(path) for path in site.getsitepackages() if Path(path).is_dir()]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder that is itself a virtual environment, with a file of the user's; its Python is a chain of links."""
    project = tmp_path / "project"
    venv.create(project, symlinks=True)
    (project / "secret.txt").write_text("secret", encoding="utf-8")
    hop = tmp_path / "elsewhere" / "python-of-mine"
    hop.parent.mkdir()
    hop.symlink_to(Path(sys.executable).resolve())
    (project / "bin" / "python").unlink()
    (project / "bin" / "python").symlink_to("../../elsewhere/python-of-mine")
    return project


def test_a_virtual_environment_in_the_project_shows_no_project(project: Path) -> None:
    """Python is found through links that lead out of the environment; the user's files beside it are not seen."""
    secret = project / "secret.txt"
    answers = _read_inside(project / "bin" / "python", [PACKAGE.parent, *_installed()], [secret, PACKAGE / "errors.py"])
    assert answers == {str(secret): errno.ENOENT, str(PACKAGE / "errors.py"): 0}


def test_a_folder_of_packages_may_be_a_link(tmp_path: Path) -> None:
    """Packages under a linked folder are imported; what lies beside the target is not seen."""
    secret = tmp_path / "real" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text("secret", encoding="utf-8")
    shutil.copytree(PACKAGE, tmp_path / "real" / "site-packages" / "kwsbench", ignore=shutil.ignore_patterns("*.pyc"))
    (tmp_path / "site-packages").symlink_to("real/site-packages")
    own = tmp_path / "site-packages"
    answers = _read_inside(Path(sys.executable), [own], [secret, own / "kwsbench" / "errors.py"])
    assert answers == {str(secret): errno.ENOENT, str(own / "kwsbench" / "errors.py"): 0}


def test_the_child_runs_the_same_kwsbench_as_the_parent(tmp_path: Path) -> None:
    """A checkout that is not the installed one is used inside, too, and of it the package and the baselines only."""
    checkout = tmp_path / "checkout"
    shutil.copytree(PACKAGE, checkout / "kwsbench", ignore=shutil.ignore_patterns("*.pyc"))
    for name in ("pyproject.toml", "notes.txt", "baselines/mine.py"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("", encoding="utf-8")
    paths = [checkout / name for name in ("notes.txt", "baselines/mine.py", "kwsbench/errors.py")]
    answers = _read_inside(Path(sys.executable), [checkout], [*paths, PACKAGE / "errors.py"])
    assert list(answers.values()) == [errno.ENOENT, 0, 0, errno.ENOENT]

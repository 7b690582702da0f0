"""The house keeps its shape: layers, light imports, shipped files."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
HEAVY = ("torch", "lightgbm", "sklearn", "scipy", "matplotlib")


def _modules_after(code: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in shown.stdout.split("\n")[-2].split()}


def test_imports_go_downward_only() -> None:
    """The import contracts of pyproject.toml are kept."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    shown = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout
    assert "2 kept, 0 broken" in shown.stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    """`import kwsbench` loads no numpy, polars, torch or LightGBM."""
    assert not _modules_after("import kwsbench") & {*HEAVY, "numpy", "polars", "pydantic"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["data", "list"],
        ["data", "show", "espeak_12"],
        ["check-budget", "--help"],
        ["export", "--help"],
        ["baselines"],
        ["score", "{preds}", "--truth", "{truth}", "--out", "{out}"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_command_that_runs_no_model_loads_neither_torch_nor_lightgbm(arguments: list[str], tmp_path: Path) -> None:
    """Help, data and score commands load none of the heavy libraries."""
    truth, preds = tmp_path / "truth.csv", tmp_path / "preds.csv"
    truth.write_text("path,label\na,yes\nb,no\n")
    preds.write_text("path,label\na,yes\nb,yes\n")
    filled = [part.format(preds=preds, truth=truth, out=tmp_path / "scores") for part in arguments]
    code = f"sys.argv = {['kwsbench', *filled]!r}\nfrom kwsbench.cli import main\ntry:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"
    assert not _modules_after(code) & set(HEAVY)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built for real."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_manifests_baselines_and_types(wheel: Path) -> None:
    """Everything that the package needs travels in the wheel, and nothing of the tests."""
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {
        path.name
        for folder in ("data_manifests", "baselines")
        for path in (REPOSITORY / folder).iterdir()
        if path.is_file()
    }
    assert shipped <= {name.rsplit("/", 1)[-1] for name in names if name.startswith("kwsbench/shipped/")}
    assert "kwsbench/py.typed" in names
    assert not [name for name in names if "test" in name]


def test_the_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, the package finds the shipped manifests and baselines."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import kwsbench, kwsbench.catalogue as c; print(kwsbench.__file__);"
        "print(c.find_manifest('espeak_12')[1]); print(c.find_baseline('mfcc_lightgbm'))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(line.startswith(str(tmp_path / "site")) for line in shown.stdout.split())

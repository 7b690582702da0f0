"""Where manifests and baselines lie: in the checkout when developing, beside the package when installed.

A file is found by its name; there is no registry to edit.
"""

from __future__ import annotations

from pathlib import Path

from kwsbench.errors import InputError, did_you_mean
from kwsbench.manifest import Manifest, read_manifest

_PACKAGE = Path(__file__).parent


def shipped_folder(name: str) -> Path:
    """Returns the folder `data_manifests` or `baselines` that comes with this kwsbench."""
    checkout = _PACKAGE.parent / name
    return (
        checkout
        if (_PACKAGE.parent / "pyproject.toml").is_file() and checkout.is_dir()
        else _PACKAGE / "shipped" / name
    )


def manifest_paths() -> dict[str, Path]:
    """Returns the shipped manifests, name to path, in the order of their names."""
    return {path.stem: path for path in sorted(shipped_folder("data_manifests").glob("*.toml"))}


def names_a_path(name_or_path: str, suffix: str = ".toml") -> bool:
    """Returns whether this is meant as the path of a file, not as a name: by its end, or a slash in it."""
    return name_or_path.endswith(suffix) or "/" in name_or_path


def find_manifest(name_or_path: str) -> tuple[Manifest, Path]:
    """Returns the manifest of that name, or from that TOML file, and the path it was read from.

    Raises:
        InputError: There is none, or it is not valid.
    """
    path = _find(name_or_path, "manifest", manifest_paths(), ".toml")
    return read_manifest(path), path


def baseline_paths(folder: Path | None = None) -> dict[str, Path]:
    """Returns the baselines in `folder` (default: the shipped ones), name to path, in the order of their names."""
    folder = folder or shipped_folder("baselines")
    return {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}


def find_baseline(name_or_path: str, folder: Path | None = None) -> Path:
    """Returns the file of a baseline, by its name in `folder` or by its path. Raises InputError where there is none."""
    return _find(name_or_path, "baseline", baseline_paths(folder), ".py")


def _find(name_or_path: str, kind: str, shipped: dict[str, Path], suffix: str) -> Path:
    if name_or_path in shipped:
        return shipped[name_or_path]
    if names_a_path(name_or_path, suffix) and Path(name_or_path).is_file():
        return Path(name_or_path)
    if names_a_path(name_or_path, suffix):
        raise InputError(f"no {kind} at {name_or_path}: there is no such file")
    hint = did_you_mean(name_or_path, shipped)
    known = ", ".join(shipped) or "none"
    raise InputError(f"no {kind} is called {name_or_path!r}" + (f"; {hint}" if hint else "") + f" (there are: {known})")

"""Manifests and baselines are found by their names or paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwsbench import catalogue
from kwsbench.errors import InputError
from tests.conftest import MANIFESTS, TEN_LABELS, TINY_MANIFEST


def test_every_shipped_manifest_is_listed_by_its_name() -> None:
    """The catalogue is the folder, in the order of names."""
    assert list(catalogue.manifest_paths()) == [path.stem for path in MANIFESTS]


def test_a_manifest_is_found_by_name() -> None:
    """A bare name is looked up among the shipped manifests."""
    manifest, path = catalogue.find_manifest("speech_commands_v2_12")
    assert (manifest.name, path.name) == ("speech_commands_v2_12", "speech_commands_v2_12.toml")


def test_a_manifest_is_found_by_path() -> None:
    """A course keeps its own manifests wherever it likes."""
    manifest, path = catalogue.find_manifest(str(TEN_LABELS))
    assert (manifest.name, path) == ("speech_commands_v1_10", TEN_LABELS)


def test_a_manifest_is_found_by_file_name_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that ends in .toml is a path, with or without a folder."""
    (tmp_path / "mine.toml").write_text(TINY_MANIFEST, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert catalogue.find_manifest("mine.toml")[0].name == "tiny"


def test_an_unknown_name_gets_a_hint_and_the_names_there_are() -> None:
    """A slip in a name is answered with the nearest one and the whole list."""
    with pytest.raises(InputError) as caught:
        catalogue.find_manifest("speech_command_v2_12")
    assert "did you mean 'speech_commands_v2_12'?" in str(caught.value)
    assert all(path.stem in str(caught.value) for path in MANIFESTS)


@pytest.mark.parametrize("name", ["nowhere/mine.toml", "mine.toml", "some/folder", "\0.toml"])
def test_a_path_that_is_not_there_is_told_as_such(name: str) -> None:
    """What looks like a path is not compared with the shipped names."""
    with pytest.raises(InputError, match="there is no such file"):
        catalogue.find_manifest(name)


def test_a_broken_manifest_is_named_with_its_path(tmp_path: Path) -> None:
    """An invalid manifest is found, read, and refused by its path."""
    path = tmp_path / "broken.toml"
    path.write_text("name = 5\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"broken\.toml"):
        catalogue.find_manifest(str(path))


def test_baselines_are_the_python_files_of_a_folder(tmp_path: Path) -> None:
    """Every file is a baseline but those that begin with an underscore."""
    for name in ("b_net.py", "a_net.py", "_private.py", "notes.md"):
        (tmp_path / name).write_text("", encoding="utf-8")
    assert list(catalogue.baseline_paths(tmp_path)) == ["a_net", "b_net"]
    assert catalogue.find_baseline("a_net", tmp_path) == tmp_path / "a_net.py"
    assert catalogue.find_baseline(str(tmp_path / "_private.py")) == tmp_path / "_private.py"


def test_an_empty_folder_of_baselines_has_none(tmp_path: Path) -> None:
    """Where there are no baselines the message says so."""
    with pytest.raises(InputError, match=r"no baseline is called 'a_net' \(there are: none\)"):
        catalogue.find_baseline("a_net", tmp_path)


def test_an_installed_package_looks_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a checkout around it the package takes what the wheel put into it, whatever else lies there."""
    package = tmp_path / "site-packages" / "kwsbench"
    (tmp_path / "site-packages" / "data_manifests").mkdir(parents=True)
    monkeypatch.setattr(catalogue, "_PACKAGE", package)
    assert catalogue.shipped_folder("data_manifests") == package / "shipped" / "data_manifests"

"""How a manifest's audio gets to where it is prepared from: a folder, an archive, what was fetched, or a message."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kwsbench.dataset.listing import list_clips
from kwsbench.dataset.obtain import fetch_archives, obtain_audio
from kwsbench.dataset.places import Places
from kwsbench.errors import CheckFailedError, InputError
from kwsbench.manifest import Manifest, read_manifest
from tests.conftest import MANIFESTS, Tiny

KINDS = ("zip", "tar.gz", "tar")


def _shipped(name: str) -> Manifest:
    return read_manifest(next(path for path in MANIFESTS if path.stem == name))


def _pack(root: Path, archive: Path, inner: str = "inner") -> Path:
    """Packs the audio below a folder `inner`, as the archives of the field do."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for path in files:
                packed.write(path, f"{inner}/{path.relative_to(root).as_posix()}")
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as packed:
            for path in files:
                packed.add(path, f"{inner}/{path.relative_to(root).as_posix()}")
    return archive


def _is_tiny(root: Path, tiny: Tiny) -> bool:
    return list_clips(tiny.manifest, root) == list_clips(tiny.manifest, tiny.root)


def _pin(tiny: Tiny, archive: Path, sha256: str | None = None) -> None:
    digest = sha256 or hashlib.sha256(archive.read_bytes()).hexdigest()
    size = archive.stat().st_size
    tiny.edit('checksum_note = "It is made up."', f'bytes = {size}\nsha256 = "{digest}"')


# What the user names


def test_a_folder_is_taken_as_it_is(tiny: Tiny) -> None:
    """Audio that the user has unpacked stays where it is, and nothing is written."""
    assert obtain_audio(tiny.manifest, tiny.places, tiny.root) == tiny.root
    assert not tiny.places.root.exists()


@pytest.mark.parametrize("name", ["tiny_words", "inner"])
def test_the_folder_around_the_audio_will_do(tiny: Tiny, tmp_path: Path, name: str) -> None:
    """A folder that holds the folder of the archive, by either of its names, is seen through."""
    (tmp_path / "downloads").mkdir()
    tiny.root.rename(tmp_path / "downloads" / name)
    assert obtain_audio(tiny.manifest, tiny.places, tmp_path / "downloads") == tmp_path / "downloads" / name


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_unpacked_into_the_data_folder(tiny: Tiny, tmp_path: Path, kind: str) -> None:
    """Whatever its name and kind, the archive's inner folder becomes the audio root."""
    archive = _pack(tiny.root, tmp_path / f"renamed.{kind}")
    root = obtain_audio(tiny.manifest, tiny.places, archive)
    assert root == tiny.places.root / "_audio" / "tiny_words"
    assert _is_tiny(root, tiny)


def test_an_archive_that_is_named_replaces_what_was_unpacked(tiny: Tiny, tmp_path: Path) -> None:
    """A new archive is unpacked again, and clips that it lacks are gone."""
    obtain_audio(tiny.manifest, tiny.places, _pack(tiny.root, tmp_path / "first.zip"))
    (tiny.root / "yes" / "00176480_nohash_0.wav").unlink()
    root = obtain_audio(tiny.manifest, tiny.places, _pack(tiny.root, tmp_path / "second.zip"))
    assert not (root / "yes" / "00176480_nohash_0.wav").exists()


def test_an_archive_without_the_inner_folder_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    """An archive of something else is named with the folders that it has."""
    archive = _pack(tiny.root, tmp_path / "other.zip", inner="outer")
    with pytest.raises(InputError, match="it has nothing in a folder 'inner'"):
        obtain_audio(tiny.manifest, tiny.places, archive)
    assert not (tiny.places.root / "_audio" / "tiny_words").exists()


@pytest.mark.parametrize("name", ["tiny", "speech_commands_v2_12", "espeak_12"])
def test_a_path_with_nothing_there_is_told_as_such(tiny: Tiny, name: str) -> None:
    """A slip in the path is an error for every kind of manifest, not a fall-back to something else."""
    manifest = tiny.manifest if name == "tiny" else _shipped(name)
    with pytest.raises(InputError, match=r"no archive or folder at .*nowhere\.zip"):
        obtain_audio(manifest, tiny.places, tiny.root / "nowhere.zip")


def test_a_file_for_a_synthesised_set_is_refused(tiny: Tiny) -> None:
    """A data set that is made on the spot has no archive; a folder of it can be named."""
    with pytest.raises(InputError, match="espeak_12 cannot use") as caught:
        obtain_audio(_shipped("espeak_12"), tiny.places, tiny.manifest_path)
    assert "a folder with the audio" in str(caught.value)
    assert obtain_audio(_shipped("espeak_12"), tiny.places, tiny.root) == tiny.root


def test_a_synthesised_set_that_is_there_is_not_made_again(tiny: Tiny) -> None:
    """What was synthesised into the data folder is used."""
    root = tiny.places.root / "_audio" / "espeak_12"
    root.mkdir(parents=True)
    assert obtain_audio(_shipped("espeak_12"), tiny.places, None) == root
    assert list(root.iterdir()) == []


# Checksums


def test_the_right_checksum_is_accepted(tiny: Tiny, tmp_path: Path) -> None:
    """An archive of the size and checksum that the manifest pins is unpacked."""
    archive = _pack(tiny.root, tmp_path / "tiny_words.zip")
    _pin(tiny, archive)
    assert _is_tiny(obtain_audio(tiny.manifest, tiny.places, archive), tiny)


@pytest.mark.parametrize("fetched", [True, False], ids=["fetched", "given"])
def test_a_wrong_checksum_stops_before_unpacking(tiny: Tiny, tmp_path: Path, fetched: bool) -> None:  # noqa: FBT001
    """Another archive than the pinned one is a failed check, wherever it lies, and nothing of it is unpacked."""
    folder = tiny.places.root / "_archives" if fetched else tmp_path
    archive = _pack(tiny.root, folder / "tiny_words.zip")
    _pin(tiny, archive, sha256=64 * "0")
    with pytest.raises(CheckFailedError, match="is not the expected file"):
        obtain_audio(tiny.manifest, tiny.places, None if fetched else archive)
    assert not (tiny.places.root / "_audio").exists()


def test_the_checksum_of_the_first_download_holds(tiny: Tiny) -> None:
    """Where none is published, an archive that changed since it was first downloaded is not unpacked."""
    archive = _pack(tiny.root, tiny.places.archive("tiny_words.zip"))
    archive.with_name("tiny_words.zip.sha256").write_text(f"{64 * '0'}  tiny_words.zip\n", encoding="utf-8")
    with pytest.raises(CheckFailedError, match="is not the expected file"):
        obtain_audio(tiny.manifest, tiny.places, None)


def test_a_login_page_is_no_archive(tiny: Tiny, tmp_path: Path) -> None:
    """What a browser saves when one is not signed in is told as what it is."""
    page = tmp_path / "keyword-spotting-mipt-2025.zip"
    page.write_text("<!DOCTYPE html><html><body>Sign in</body></html>", encoding="utf-8")
    with pytest.raises(CheckFailedError, match="an HTML page"):
        obtain_audio(_shipped("sber_keywords_5"), tiny.places, page)


# What was fetched


def test_a_fetched_archive_is_unpacked_once(tiny: Tiny) -> None:
    """The archive in the data folder is used, and not needed any more when it is unpacked."""
    archive = _pack(tiny.root, tiny.places.archive("tiny_words.zip"))
    root = obtain_audio(tiny.manifest, tiny.places, None)
    assert _is_tiny(root, tiny)
    archive.unlink()
    assert obtain_audio(tiny.manifest, tiny.places, None) == root


def test_nothing_there_says_how_to_get_it(tiny: Tiny) -> None:
    """Without audio the message names the place, the command that fetches and the option that names."""
    with pytest.raises(InputError, match="the audio of tiny is not there") as caught:
        obtain_audio(tiny.manifest, tiny.places, None)
    assert "_archives/tiny_words.zip: found nothing, expected the archive" in str(caught.value)
    assert "run `kwsbench data fetch tiny`, or name what you have with --from" in str(caught.value)


def test_a_manual_archive_says_what_to_do(tiny: Tiny) -> None:
    """Data behind a login is asked for in the manifest's own words, when preparing and when fetching."""
    manifest = _shipped("sber_keywords_5")
    for action in (lambda: obtain_audio(manifest, tiny.places, None), lambda: fetch_archives(manifest, tiny.places)):
        with pytest.raises(InputError, match="sign in to Kaggle, accept the rules"):
            action()
    assert not tiny.places.root.exists()


def test_a_synthesised_set_cannot_be_fetched(tiny: Tiny) -> None:
    """The command that makes it is named instead."""
    with pytest.raises(InputError, match="run `kwsbench data synth espeak_12`"):
        fetch_archives(_shipped("espeak_12"), tiny.places)


# Several archives


@pytest.fixture
def two() -> Manifest:
    """A manifest of two archives, neither pinned."""
    manifest = _shipped("speech_commands_v2_12")
    free = {"sha256": None, "num_bytes": None}
    archives = tuple(archive.model_copy(update=free) for archive in manifest.archives)
    return manifest.model_copy(update={"archives": archives})


def test_each_of_several_archives_is_found(tiny: Tiny, two: Manifest, tmp_path: Path) -> None:
    """One that is named and one that was fetched are unpacked side by side."""
    main, test = (archive.file for archive in two.archives)
    given = _pack(tiny.root, tmp_path / main, inner=".")
    _pack(tiny.root, tiny.places.archive(test), inner=".")
    root = obtain_audio(two, tiny.places, given)
    assert root == tiny.places.root / "_audio"
    for archive in two.archives:
        assert (root / archive.folder / "testing_list.txt").is_file()


def test_one_of_several_archives_alone_is_not_enough(tiny: Tiny, two: Manifest, tmp_path: Path) -> None:
    """The one that is missing is named."""
    given = _pack(tiny.root, tmp_path / two.archives[0].file, inner=".")
    with pytest.raises(InputError, match=r"speech_commands_test_set_v0\.02\.tar\.gz: found nothing"):
        obtain_audio(two, tiny.places, given)


def test_an_archive_with_another_name_is_none_of_several(tiny: Tiny, two: Manifest, tmp_path: Path) -> None:
    """With several archives the name tells which one it is; another name is refused, not ignored."""
    for archive in two.archives:
        (tiny.places.root / "_audio" / archive.folder).mkdir(parents=True)
    given = _pack(tiny.root, tmp_path / "renamed.tar.gz")
    with pytest.raises(InputError, match=r"speech_commands_v2_12 cannot use .*renamed\.tar\.gz") as caught:
        obtain_audio(two, tiny.places, given)
    assert all(archive.file in str(caught.value) for archive in two.archives)


def test_the_folder_of_several_archives_is_the_one_around_them(tiny: Tiny, two: Manifest) -> None:
    """With several archives the folder that holds one folder for each is the audio root."""
    assert obtain_audio(two, tiny.places, tiny.root) == tiny.root


# Fetching


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_archives_are_fetched_into_the_data_folder_and_prepared_from_there(tiny: Tiny, tmp_path: Path) -> None:
    """Fetching, unpacking and preparing lead from an address to a prepared data set."""
    archive = _pack(tiny.root, tmp_path / "served" / "tiny_words.zip")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    with _served(archive.parent) as address:
        tiny.edit("http://127.0.0.1", address)
        assert fetch_archives(tiny.manifest, tiny.places) == {"tiny_words.zip": digest}
    shutil.rmtree(tiny.root)
    root = obtain_audio(tiny.manifest, tiny.places, None)
    assert Tiny(root, tiny.manifest_path, tiny.places).prepare().complete
    assert tiny.places == Places(tmp_path / "data")

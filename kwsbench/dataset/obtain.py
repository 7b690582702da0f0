"""Gets a manifest's audio to where `prepare` reads it: downloads archives, unpacks them, or takes a folder."""

from __future__ import annotations

from pathlib import Path

from kwsbench.dataset.archive import unpack
from kwsbench.dataset.fetch import check_file, fetch
from kwsbench.dataset.listing import how_to_get
from kwsbench.dataset.places import Places
from kwsbench.dataset.synthesis import synthesise
from kwsbench.errors import InputError, Problem
from kwsbench.manifest import Archive, Manifest


def fetch_archives(manifest: Manifest, places: Places) -> dict[str, str]:
    """Downloads every archive of a manifest, or what is missing of it.

    Returns:
        File name of each archive to its SHA-256.

    Raises:
        InputError: An archive has to be downloaded by hand, or the download fails.
        CheckFailedError: An archive has another checksum than the manifest says.
    """
    if manifest.synthesis is not None:
        raise InputError(f"{manifest.name} is synthesised, not downloaded; run `kwsbench data synth {manifest.name}`")
    manual = [archive for archive in manifest.archives if archive.manual]
    if manual:
        problems = [_by_hand(manifest, archive) for archive in manual]
        raise InputError(f"{manifest.name} cannot be downloaded without a login", problems)
    return {archive.file: _fetch(archive, places) for archive in manifest.archives}


def obtain_audio(manifest: Manifest, places: Places, source: Path | None) -> Path:
    """Returns the folder with a manifest's audio, unpacking archives where needed.

    Args:
        manifest: The benchmark.
        places: The data folder, where archives are unpacked to.
        source: An archive or a folder that the user has; None to use what was fetched or synthesised.

    Raises:
        InputError: There is no audio, `source` is nothing that this manifest can use, or an archive cannot be
            unpacked.
        CheckFailedError: An archive has another size or checksum than the manifest says.
        RefusedError: An archive is unsafe.
    """
    if source is not None:
        if source.is_dir():
            return _audio_root_in(source, manifest)
        _check_usable(source, manifest)
    root = places.audio_root(manifest)
    if manifest.synthesis is not None:
        if not root.is_dir():
            synthesise(manifest, root)
        return root
    for archive in manifest.archives:
        _unpack(archive, manifest, places, source)
    return root


def _check_usable(source: Path, manifest: Manifest) -> None:
    if not source.is_file():
        raise InputError(f"no archive or folder at {source}")
    files = [archive.file for archive in manifest.archives]
    if len(files) != 1 and source.name not in files:
        expected = f"a folder with all of the audio, or {' or '.join(files)}" if files else "a folder with the audio"
        raise InputError(f"{manifest.name} cannot use {source}", [Problem(str(source), "a file", expected)])


def _unpack(archive: Archive, manifest: Manifest, places: Places, source: Path | None) -> None:
    target = places.root / "_audio" / archive.folder
    given = source is not None and (len(manifest.archives) == 1 or source.name == archive.file)
    if not given and target.is_dir():
        return
    file = source if given and source is not None else places.archive(archive.file)
    if not file.is_file():
        raise InputError(
            f"the audio of {manifest.name} is not there",
            [Problem(str(file), "nothing", "the archive", how_to_get(manifest, archive.folder))],
        )
    check_file(file, archive.num_bytes, archive.sha256)
    unpack(file, target, inner_folder=archive.inner_folder)


def _fetch(archive: Archive, places: Places) -> str:
    if archive.url is None:  # the schema knows: without an address it is manual, and was refused before
        raise ValueError(f"{archive.file} has no address")
    return fetch(archive.url, places.archive(archive.file), num_bytes=archive.num_bytes, sha256=archive.sha256)


def _by_hand(manifest: Manifest, archive: Archive) -> Problem:
    return Problem(archive.file, "an archive behind a login", "", how_to_get(manifest, archive.folder))


def _audio_root_in(folder: Path, manifest: Manifest) -> Path:
    """The folder itself, or the one inside it that is named like the only archive or the folder inside that."""
    if len(manifest.archives) != 1:
        return folder
    archive = manifest.archives[0]
    for name in (archive.folder, archive.inner_folder):
        if name and (folder / name).is_dir():
            return folder / name
    return folder

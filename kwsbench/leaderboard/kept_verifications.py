"""What `kwsbench submission verify` has found out about entries as they are now.

Verifications are kept under a key that follows from the content of an entry and from what it is held against. A
thousand contents take seconds to read, so the keys are remembered with the stamps of the folders. What entries are held
against is the same for all of them: when the key of one folder comes out as it was, that has not changed, and the
others hold, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kwsbench.leaderboard.stamps import Stamps, look
from kwsbench.submission.cached import key_of, load
from kwsbench.submission.record import Verification
from kwsbench.submission.verify import Verifying, verify_all

_THREADS = 4


def kept_verifications(folders: Sequence[Path], verifying: Verifying, memory: Path) -> dict[str, Verification]:
    """Returns what is kept of entries, by team and entry; nothing is run.

    Args:
        folders: `<team>/<entry>`.
        verifying: How they were verified, and where that is kept.
        memory: A file for the keys of folders.

    Raises:
        InputError: There is no such manifest, or no such data.
    """
    if verifying.cache is None or not verifying.cache.is_dir():
        return {}
    keys = _keys(folders, verifying, memory)
    kept = {_name(folder): load(verifying.cache, key) for folder, key in keys.items() if key is not None}
    return {name: found for name, found in kept.items() if found is not None}


def new_verifications(folders: Sequence[Path], verifying: Verifying) -> dict[str, Verification]:
    """Verifies entries, those that are new or have changed, and returns what came out for all."""
    return {_name(folder): found for folder, found in verify_all(folders, verifying)}


def _keys(folders: Sequence[Path], verifying: Verifying, memory: Path) -> dict[Path, str | None]:
    memory.parent.mkdir(parents=True, exist_ok=True)
    stamps = Stamps(memory)
    keys = {folder: stamps.content_of(folder) for folder in folders}
    witness = next((folder for folder, key in keys.items() if key is not None), None)
    if witness is not None and _key(witness, verifying) != keys[witness]:
        stamps.forget()
        keys = dict.fromkeys(folders)
    unknown = [folder for folder, key in keys.items() if key is None]
    looks = {folder: look(folder) for folder in unknown}
    with ThreadPoolExecutor(_THREADS) as pool:
        found = dict(zip(unknown, pool.map(lambda folder: _key(folder, verifying), unknown), strict=True))
    for folder, key in found.items():
        stamps.note(folder, key or "", looks[folder])
    stamps.save()
    return keys | found


def _key(folder: Path, verifying: Verifying) -> str | None:
    return key_of(folder, verifying.house, run=verifying.run, time_limit_s=verifying.time_limit_s)


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"

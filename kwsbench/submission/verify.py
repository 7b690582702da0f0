"""Verifies many entries side by side, each in a process of its own, and only those that were not verified before.

    for folder, verification in verify_all(find_submissions(Path("submissions")), Verifying(house)):
        print(folder, verification.verdict, verification.reason)

One that hangs is stopped at its time limit and one that crashes ends alone; both are refused, and all others are as
if they had not been there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kwsbench.errors import InputError
from kwsbench.submission.cached import default_cache, key_of, load, save
from kwsbench.submission.deciding import Outcome, verify
from kwsbench.submission.judging import House
from kwsbench.submission.processes import Work, run_all
from kwsbench.submission.record import Verification, content_sha256

__all__ = ["House", "Verifying", "cached_verification", "default_cache", "verify_all"]

TIME_LIMIT_S = 600.0


@dataclass(frozen=True)
class Verifying:
    """How entries are verified.

    Attributes:
        house: Where they are judged.
        run: Run the models; else every valid entry is `predictions only`, and no process is started.
        workers: How many side by side; None for one per processor, or as many as a cluster has.
        dask: Address of a Dask scheduler whose workers do it; they must see the same files. None for this machine.
        cache: Folder where results are kept; None keeps nothing.
        fresh: Verify again what is kept, too.
        time_limit_s: Seconds that one entry may take.
    """

    house: House = field(default_factory=House)
    run: bool = True
    workers: int | None = None
    dask: str | None = None
    cache: Path | None = field(default_factory=default_cache)
    fresh: bool = False
    time_limit_s: float = TIME_LIMIT_S


def verify_all(folders: Iterable[Path], verifying: Verifying) -> Iterator[tuple[Path, Verification]]:
    """Yields each entry with what came out, once, as soon as it is known: those that are kept first.

    What was yielded is kept already, so that a run that is killed in the middle goes on where it was.

    Args:
        folders: Entries, `<team>/<entry>`.
        verifying: How.

    Raises:
        InputError: What is wrong is the house's or the cluster's: no such manifest, no data, nobody at the address.
    """
    new: dict[Path, str | None] = {}
    for folder in dict.fromkeys(folders):
        key = _key(folder, verifying)
        kept = _kept(key, verifying)
        if kept is None:
            new[folder] = key
        else:
            yield folder, kept
    for folder, outcome in _verified(list(new), verifying):
        _require_same_files(folder, outcome, verifying)
        _keep(new[folder], folder, outcome, verifying)
        yield folder, outcome.verification


def cached_verification(folder: Path, verifying: Verifying) -> Verification | None:
    """Returns what is kept of an entry as it is now; None where it was not verified so."""
    return _kept(_key(folder, verifying), verifying)


def _key(folder: Path, verifying: Verifying) -> str | None:
    if verifying.cache is None:
        return None
    return key_of(folder, verifying.house, run=verifying.run, time_limit_s=verifying.time_limit_s)


def _kept(key: str | None, verifying: Verifying) -> Verification | None:
    if key is None or verifying.cache is None or verifying.fresh:
        return None
    return load(verifying.cache, key)


def _require_same_files(folder: Path, outcome: Outcome, verifying: Verifying) -> None:
    if verifying.dask is None or outcome.verification.content_sha256 == _content(folder):
        return
    raise InputError(f"a worker of {verifying.dask} sees other files at {folder.absolute()}; share the folder with it")


def _content(folder: Path) -> str:
    try:
        return content_sha256(folder)
    except InputError:
        return ""


def _keep(key: str | None, folder: Path, outcome: Outcome, verifying: Verifying) -> None:
    if key is None or verifying.cache is None or not outcome.lasting:
        return
    if _key(folder, verifying) == key:  # else it has changed meanwhile
        save(verifying.cache, key, outcome.verification)


def _verified(folders: list[Path], verifying: Verifying) -> Iterator[tuple[Path, Outcome]]:
    if verifying.run and folders:
        work = Work(verifying.house, verifying.time_limit_s, verifying.workers, verifying.dask)
        yield from run_all(folders, work)
        return
    for folder in folders:
        yield folder, verify(folder, verifying.house, run=False)

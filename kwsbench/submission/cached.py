"""Verifications that were made before, one JSON file each, named by everything that they follow from.

The cache lies outside of any competition's repository, where a pull request could not bring a verdict along.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path

from kwsbench import __version__
from kwsbench.catalogue import shipped_folder
from kwsbench.errors import InputError
from kwsbench.files import replacing
from kwsbench.submission import canaries
from kwsbench.submission.costing import house_limits
from kwsbench.submission.judging import House, terms_of
from kwsbench.submission.record import Verification, content_sha256, read_submission
from kwsbench.submission.rerun import SCORE_TOLERANCE

_METHOD = (3, SCORE_TOLERANCE, canaries.NUM_CLIPS, canaries.MOST_LOST, canaries.MOST_CHANGED, canaries.SIGNIFICANCE)
"""How a verdict is made; another number in front when what the code does has changed in another way."""


def default_cache() -> Path:
    """Returns where verifications are kept: below `$XDG_CACHE_HOME`, or `.cache` in the home folder."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME")
    below = Path(home) if home else Path.cwd()
    return (below if os.environ.get("XDG_CACHE_HOME") else below / ".cache") / "kwsbench" / "verifications"


def key_of(folder: Path, house: House, *, run: bool, time_limit_s: float) -> str | None:
    """Returns the key of what verifying an entry gives; None where that is not kept.

    It follows from the content of the entry, which names it, from the clips and their truth, the manifest, the limits, the
    baselines, the time limit, the version of kwsbench, and how verdicts are made.

    Raises:
        InputError: There is no such manifest, or no such data.
    """
    try:
        submission, content = read_submission(folder), content_sha256(folder)
    except InputError:
        return None  # judged in a moment
    try:
        terms = terms_of(house, house.manifest or submission.manifest)
    except InputError:
        if house.manifest is not None:
            raise
        return None
    facts = {
        "content": content,
        "clips": terms.clips_sha256 if terms.dataset else None,
        "ids": None if terms.clip_ids is None else len(terms.clip_ids),
        "truth": terms.truth_sha256,
        "split": terms.split,
        "manifest": terms.manifest.model_dump_json(),
        "limits": house_limits(house, terms).limits.model_dump_json(),
        "baselines": _baselines_sha256(house.baselines or shipped_folder("baselines")),
        "run": run,
        "time_limit_s": time_limit_s,
        "kwsbench": __version__,
        "method": _METHOD,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _baselines_sha256(folder: Path) -> str:
    files = sorted(folder.glob("*.py"))
    return _sha256_of_files(tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in files))


@lru_cache(maxsize=8)
def _sha256_of_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in files:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def load(cache: Path, key: str) -> Verification | None:
    """Returns what is kept under a key; None where there is nothing, or nothing whole."""
    try:
        return Verification.from_json(json.loads((cache / f"{key}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def save(cache: Path, key: str, verification: Verification) -> None:
    """Keeps a verification under its key, whole or not at all.

    Raises:
        InputError: The cache cannot be written.
    """
    with replacing(cache / f"{key}.json") as temporary:
        temporary.write_text(json.dumps(verification.to_json()), encoding="utf-8")

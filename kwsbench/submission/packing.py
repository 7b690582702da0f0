"""An entry as one zip, for people who hand in a file: packed with equal bytes for equal content, unpacked from strangers."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

from kwsbench.dataset.archive import UnpackLimits, unpack
from kwsbench.dataset.whole_folder import replacing_folder
from kwsbench.errors import InputError, Problem
from kwsbench.files import replacing
from kwsbench.submission.folder import (
    FORM,
    MAX_DEFINITION_BYTES,
    MAX_MODEL_BYTES,
    MAX_PICTURE_BYTES,
    MAX_PICTURES,
    MAX_PREDICTIONS_BYTES,
    MAX_REPORT_BYTES,
    files_of,
    hashes_of,
    inventory_problems,
    read_regular,
)
from kwsbench.submission.form import Form, read_form
from kwsbench.submission.names import case_twins
from kwsbench.submission.record import Submission, read_submission, seal_problems

MAX_BYTES = (
    MAX_MODEL_BYTES
    + MAX_DEFINITION_BYTES
    + MAX_PREDICTIONS_BYTES
    + 2 * MAX_REPORT_BYTES
    + MAX_PICTURES * MAX_PICTURE_BYTES
)
_LIMITS = UnpackLimits(max_ratio=1, floor_bytes=MAX_BYTES, max_members=100)
_DEEPEST = 3
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can hold
_MODE = 0o100644


def pack(folder: Path, target: Path) -> Submission:
    """Writes an entry as a zip: its files below `<team>/<entry>/`, stored, so that equal content gives equal bytes.

    Args:
        folder: The entry.
        target: The zip to write.

    Raises:
        InputError: The folder is no entry, holds what none may, or is not sealed; or the zip cannot be written.
    """
    submission = _checked(folder)
    problems = seal_problems(submission, hashes_of(folder))
    if problems:
        raise InputError(f"{folder} has changed since it was sealed", problems)
    if target.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"cannot write {target}: it lies in the entry that is packed; name another place")
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in files_of(folder):
            entry = zipfile.ZipInfo(f"{submission.key}/{file.name}", _EPOCH)
            entry.create_system, entry.external_attr = 3, _MODE << 16  # as on Unix, wherever this runs
            archive.writestr(entry, read_regular(folder / file.name, MAX_MODEL_BYTES))
    return submission


def unpack_entry(archive: Path, root: Path, *, replace_existing: bool = False) -> Path:
    """Unpacks one entry from an archive of a stranger to `<root>/<team>/<entry>`, whole or not at all.

    The names come from the form in it, not from the archive's folders.

    Args:
        archive: A zip or tar; nothing in it is trusted.
        root: Folder of the submissions.
        replace_existing: Put it in the place of an entry of this name.

    Returns:
        The folder of the entry.

    Raises:
        InputError: The archive is none, holds no entry or several, or the entry is there already or breaks its form.
        RefusedError: The archive is unsafe.
    """
    with tempfile.TemporaryDirectory(prefix="kwsbench-unpack-") as temporary:
        top = Path(temporary, "archive")
        unpack(archive, top, limits=_LIMITS)
        found = _entry_in(top, archive)
        form = _form_of(found, archive, top)
        folder = root / form.team / form.entry
        _require_free(folder, replace_existing=replace_existing)
        placed = Path(temporary, "entry", form.team, form.entry)
        placed.parent.mkdir(parents=True)
        found.rename(placed)
        try:
            _checked(placed)
        except InputError as error:
            raise _elsewhere(error, str(placed), str(archive)) from error
        with replacing_folder(folder) as new:
            shutil.copytree(placed, new, dirs_exist_ok=True)
            _require_free(folder, replace_existing=replace_existing)
    return folder


def _checked(folder: Path) -> Submission:
    submission = read_submission(folder)
    problems = inventory_problems(folder, submission.files)
    if problems:
        raise InputError(f"{folder} holds what no entry may", problems)
    return submission


def _entry_in(top: Path, archive: Path) -> Path:
    """The folder with the form: at the top, or in a folder or two, as people pack it."""
    forms = [path for path in top.rglob(FORM) if len(path.relative_to(top).parts) <= _DEEPEST]
    if len(forms) != 1:
        remedy = "pack it with `kwsbench submission pack`"
        problem = Problem(str(archive), f"{len(forms)} files called {FORM}", "one", remedy)
        raise InputError(f"{archive} does not hold one entry", [problem])
    folder = forms[0].parent
    beside = [path for path in top.rglob("*") if path.is_file() and not path.is_relative_to(folder)]
    if beside:
        problem = Problem(
            str(archive), f"{len(beside)} files beside it", "the files of the entry alone", "leave them out"
        )
        raise InputError(f"{archive} holds more than an entry", [problem])
    return folder


def _form_of(found: Path, archive: Path, top: Path) -> Form:
    try:
        return read_form(found / FORM)
    except InputError as error:
        raise _elsewhere(error, str(top), str(archive)) from error


def _elsewhere(error: InputError, there: str, here: str) -> InputError:
    """The same error with the archive in the place of a temporary folder, which nobody can look into."""
    problems = [
        replace(problem, **{name: getattr(problem, name).replace(there, here) for name in ("where", "found", "remedy")})
        for problem in error.problems
    ]
    return InputError(error.message.replace(there, here), problems)


def _require_free(folder: Path, *, replace_existing: bool) -> None:
    for twin in case_twins(folder):
        raise InputError(f"{folder} differs from {twin} in case alone; rename one of them")
    if folder.is_symlink() or (folder.exists() and not replace_existing):
        raise InputError(f"there is an entry at {folder} already; give --replace to put this one in its place")

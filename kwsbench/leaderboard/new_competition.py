"""A repository for a competition: rules, manifest, an example entry, guides, and the workflows that run it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kwsbench import __version__
from kwsbench.catalogue import find_manifest
from kwsbench.dataset.whole_folder import replacing_folder
from kwsbench.errors import InputError
from kwsbench.leaderboard.example_entry import write_example
from kwsbench.leaderboard.local_time import find_zone
from kwsbench.leaderboard.rule_tables import hash_of_key
from kwsbench.leaderboard.rules import read_rules
from kwsbench.manifest import Manifest
from kwsbench.printable import printable

KEY_FILE = "private_key.txt"
"""Where the key of the private part lies; git ignores it."""

_TEMPLATES = Path(__file__).parent / "competition_template"
_PLACES = {
    "competition.toml": "leaderboard/competition.toml",
    "README.md": "README.md",
    "HOST.md": "HOST.md",
    "gitignore": ".gitignore",
    "validate.yml": ".github/workflows/validate.yml",
    "publish.yml": ".github/workflows/publish.yml",
}
_KEY_GUIDE = f"""\
- `{KEY_FILE}` holds the key that says which speakers are private. Keep a copy in a safe place, never commit it (git
  ignores it), and add its text as the repository secret `KWSBENCH_PRIVATE_KEY`. Its hash is in the rules from the first
  day, so that everyone can check later that you did not choose it afterwards.
"""
_REVEAL_GUIDE = f"""\
- Reveal the key: write the text of `{KEY_FILE}` as `key = "..."` into `[private]`. From then on the site shows all
  clips, and anyone can compute who was private.
"""


@dataclass(frozen=True)
class Plan:
    """What a competition shall be.

    Attributes:
        manifest: Name of a shipped manifest, or the path of one.
        title: Its name; empty for that of the manifest.
        timezone: Whose clocks count.
        deadline: The last instant that is in time, as those clocks show it; None for none yet.
        private_share: Share of the speakers whose scores stay hidden; None hides nothing.
        data: The data folder, where the clips of the example entry come from; None for the default.
    """

    manifest: str
    title: str = ""
    timezone: str = "UTC"
    deadline: datetime | None = None
    private_share: float | None = None
    data: Path | None = None


@dataclass(frozen=True)
class Made:
    """A competition that was made.

    Attributes:
        folder: Where.
        files: Its files, relative to that.
        example_is_whole: The example predicts every clip; else nothing is prepared here, and it is a form alone.
    """

    folder: Path
    files: tuple[str, ...]
    example_is_whole: bool


def make_competition(folder: Path, plan: Plan) -> Made:
    """Makes the repository of a competition, whole or not at all.

    Args:
        folder: A folder that is empty or not there.
        plan: What it shall be.

    Raises:
        InputError: The folder holds something, there is no such manifest or time zone, or the rules would not be valid.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise InputError(f"{folder} is not empty; name a folder that is, or that is not there")
    manifest, path = find_manifest(plan.manifest)
    key = None if plan.private_share is None else secrets.token_hex(32)
    texts = _texts(plan, manifest, key)
    with replacing_folder(folder) as new:
        for name, place in _PLACES.items():
            _write(new / place, _filled((_TEMPLATES / name).read_text(encoding="utf-8"), texts))
        _write(new / "data_manifests" / f"{manifest.name}.toml", path.read_text(encoding="utf-8-sig"))
        if key is not None:
            _write(new / KEY_FILE, f"{key}\n", mode=0o600)
        read_rules(new / _PLACES["competition.toml"])
        is_whole = write_example(new, manifest, plan.data)
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return Made(folder, tuple(files), is_whole)


def _write(path: Path, text: str, mode: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode is not None:
        path.touch(mode=mode)
    path.write_text(text, encoding="utf-8")


def _filled(template: str, texts: Mapping[str, str]) -> str:
    """Puts texts into their places; a text of several lines is indented like the place it goes to."""
    lines = [_filled_line(line, texts) for line in template.splitlines()]
    return "".join(f"{line.rstrip()}\n" for lines_of_one in lines for line in lines_of_one.split("\n"))


def _filled_line(line: str, texts: Mapping[str, str]) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    for name, text in texts.items():
        line = line.replace(f"@{name}@", text.rstrip("\n").replace("\n", f"\n{indent}"))
    return line


def _texts(plan: Plan, manifest: Manifest, key: str | None) -> dict[str, str]:
    title, description = plan.title or manifest.title, manifest.description.strip()
    return {
        "TITLE": _quoted(title),
        "PLAIN_TITLE": printable(title),
        "TEXT": description,
        "TOML_TEXT": "\n".join(_quoted(line)[1:-1] for line in description.splitlines()),
        "NAME": manifest.name,
        "TIMEZONE": _quoted(_zone(plan.timezone)),
        "DEADLINE": _deadline(plan),
        "LIMITS": _limits(manifest),
        "PRIVATE": _private(plan, key),
        "KEY_GUIDE": _KEY_GUIDE if key else "",
        "REVEAL_GUIDE": _REVEAL_GUIDE if key else "",
        "REQUIREMENT": f"kwsbench[{_extras(manifest)}]=={__version__}",
        "PREPARE": _prepare(manifest),
    }


def _zone(name: str) -> str:
    try:
        return str(find_zone(name).key)
    except ValueError as error:
        raise InputError(f"{printable(name)!r} is no time zone; expected {error}") from error


def _deadline(plan: Plan) -> str:
    if plan.deadline is None:
        return "# deadline = 2026-12-20T23:59:59"
    return f"deadline = {plan.deadline.isoformat(timespec='seconds')}"


def _limits(manifest: Manifest) -> str:
    found = manifest.budget.model_dump()
    return "\n".join(f"{name} = {value:_}" if value else f"# {name} = 10_000" for name, value in found.items())


def _private(plan: Plan, key: str | None) -> str:
    if key is None:
        return "\n# [private] # `kwsbench init --private 0.5` makes one: a share of the speakers, hidden until the end"
    return f'\n[private]\nshare = {plan.private_share}\nkey_sha256 = "{hash_of_key(key)}"\n# key = "..." # in the end'


def _extras(manifest: Manifest) -> str:
    return "leaderboard,torch,onnx,lightgbm" + (",espeak" if manifest.synthesis else "")


def _prepare(manifest: Manifest) -> str:
    path = f"data_manifests/{manifest.name}.toml"
    if manifest.synthesis:
        return f"kwsbench data synth {path}\nkwsbench data prepare {path}"
    if any(archive.url is None for archive in manifest.archives):
        return f"kwsbench data prepare {path} --from ARCHIVE_OR_FOLDER"
    return f"kwsbench data fetch {path}\nkwsbench data prepare {path}"


def _quoted(text: str) -> str:
    # JSON's strings are TOML's basic strings, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

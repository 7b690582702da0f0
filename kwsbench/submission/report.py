"""The report of an entry: the template that a course wants, and what is checked of what a team makes of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from kwsbench.errors import InputError, Problem
from kwsbench.submission.folder import MAX_PICTURE_BYTES, MAX_REPORT_BYTES, PICTURES, is_picture, read_regular
from kwsbench.submission.names import quoted

if TYPE_CHECKING:
    from markdown_it.token import Token

SECTIONS = {
    "Idea": "*What is the system, in a paragraph that a fellow student understands? What is it based on?*",
    "Data and augmentation": "*Which data was it trained on, how was it split, how was it augmented?*",
    "Architecture and budget": "*Which layers, how many parameters and MACs in each, and why there?*",
    "Training": "*Loss, optimiser, schedule, epochs, how long on which machine, how many runs?*",
    "Results on validation": "*Accuracy on the validation split with its interval, against the baseline and ablations.*",
    "What did not work": "*What was tried in vain, and what do you think is the reason?*",
    "Who did what": "*One line for each member of the team.*",
    "How to reproduce": "*The commands, with seeds, from the data to this model.*",
}
"""The sections that a report keeps, and the question that the template asks in each."""

_MAGIC = {
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
    ".webp": (b"RIFF",),
}
_REMOTE = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*:|//)")
_SHOWN = 5


def report_template(title: str, facts: Collection[str]) -> str:
    """Returns a report to fill in.

    Args:
        title: Title of the entry.
        facts: What is known already, one line each.
    """
    heading = re.sub(r"([\\`*_{}\[\]<>#!|&])", r"\\\1", title)
    parts = [f"# {heading}\n", "".join(f"- {fact}\n" for fact in facts)]
    return "\n".join(parts + [f"## {name}\n\n{question}\n" for name, question in SECTIONS.items()])


def report_problems(path: Path, files: Collection[str]) -> list[Problem]:
    """Returns what is wrong with a report: sections missing or not filled in, pictures that are not there or remote.

    Args:
        path: The report, a file that was looked at by `inventory_problems`.
        files: Names of all files of the entry.
    """
    try:
        text = read_regular(path, MAX_REPORT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        return [Problem(str(path), "bytes that are not UTF-8", "text", "save it as UTF-8")]
    except InputError as error:
        return [Problem(str(path), f"this: {error.message}")]
    if "\0" in text:
        return [Problem(str(path), "NUL bytes", "text", "the file is damaged: write it again")]
    tokens = _parse(text)
    problems = [*_section_problems(path, text, tokens), *_picture_problems(path, tokens, files)]
    folder = path.parent
    problems += [problem for name in files if is_picture(name) and (problem := _disguise(folder / name))]
    return problems


def _parse(text: str) -> list[Token]:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").parse(text)


def _section_problems(path: Path, text: str, tokens: list[Token]) -> Iterator[Problem]:
    found = _sections(text, tokens)
    for name, question in SECTIONS.items():
        where = f"{path}, section {name}"
        content = found.get(name.casefold())
        if content is None:
            yield Problem(where, "no such section", f"a heading `## {name}`", "put it back, and write below it")
        elif not content.replace(question, "").strip():
            found_text = "the question of the template and no answer" if question in content else "nothing"
            yield Problem(where, found_text, "your own text", "write it, if only a sentence")


def _sections(text: str, tokens: list[Token]) -> dict[str, str]:
    """The text below each heading of the second level, by the heading in small letters."""
    lines = re.split(r"\r\n|\n|\r", text)
    starts = [
        (token.map, token.tag, " ".join(inline.content.split()).casefold())
        for token, inline in pairwise(tokens)
        if token.type == "heading_open" and token.level == 0 and token.tag in {"h1", "h2"} and token.map
    ]
    sections: dict[str, str] = {}
    end = len(lines)
    for place, tag, name in reversed(starts):
        if tag == "h2":
            sections[name] = "\n".join([*lines[place[1] : end], sections.get(name, "")])
        end = place[0]
    return sections


def _picture_problems(path: Path, tokens: list[Token], files: Collection[str]) -> list[Problem]:
    problems = []
    for line, target in _pictures(tokens):
        where, shown = f"{path}, line {line}", f"the picture {quoted(target)}"
        name = unquote(target).removeprefix("./")
        if _REMOTE.match(target):
            remedy = f"put the file into {PICTURES}/ and name it there"
            problems.append(Problem(where, f"{shown[:90]} from elsewhere", "pictures of this folder", remedy))
        elif not is_picture(name):
            expected = f"a png, jpg or webp in the folder of the entry or in {PICTURES}/"
            problems.append(Problem(where, shown, expected, "copy it there"))
        elif name not in files:
            problems.append(Problem(where, f"{shown}, which is not there", "a file of this folder", "add the file"))
    return problems


def _pictures(tokens: list[Token]) -> Iterator[tuple[int, str]]:
    """Line and target of every picture."""
    for token in tokens:
        line = token.map[0] + 1 if token.map else 0
        stack = list(token.children or ())
        while stack:
            child = stack.pop(0)
            if child.type == "image":
                yield line, str(child.attrs.get("src", ""))
            stack = [*(child.children or ()), *stack]


def _disguise(picture: Path) -> Problem | None:
    """What a file with the name of a picture is instead."""
    try:
        begins = read_regular(picture, MAX_PICTURE_BYTES)[:16]
    except InputError:
        return None  # the inventory has named it
    suffix = picture.suffix.lower()
    is_it = begins.startswith(_MAGIC[suffix]) and (suffix != ".webp" or begins[8:12] == b"WEBP")
    expected = f"a picture of the kind {suffix}"
    return None if is_it else Problem(str(picture), "something else", expected, "save it again as a picture")

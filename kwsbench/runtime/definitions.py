"""Definitions of networks in Python, `FILE.py:CALLABLE`: read and looked through anywhere, run in the sandbox only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwsbench.errors import InputError
from kwsbench.extras import import_torch
from kwsbench.runtime.suspicions import suspicions_in
from kwsbench.sandbox import require_inside

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Definition:
    """A callable in a Python file that makes a network.

    Attributes:
        file: The file as it was named.
        source: Its text.
        name: The callable, which takes no arguments.
    """

    file: str
    source: str
    name: str


def read_definition(text: str) -> Definition:
    """Reads `FILE.py:CALLABLE` without running it.

    Raises:
        InputError: It is not of that form, the file cannot be read or is no Python, or it holds no such callable.
    """
    file, colon, name = text.rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        raise InputError(f"--arch {text!r} is not of the form FILE.py:CALLABLE, such as net.py:Net")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"no architecture at {file}: there is no such file")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{file} has {path.stat().st_size:,} bytes, too many for the definition of a network")
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source, file)
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is no Python file: it is not UTF-8") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise InputError(f"{file} is no Python file: {getattr(error, 'msg', error)}{line}") from error
    names = list(_names(tree))
    if name not in names:
        raise InputError(f"{file} defines no {name} (it defines: {', '.join(names) or 'nothing'})")
    return Definition(file, source, name)


def _names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def suspicions(definition: Definition) -> list[str]:
    """Returns what in a definition could reach around the audit, each with its file and line."""
    return [f"{definition.file}, line {line}: {what}" for line, what in suspicions_in(definition.source)]


def build(definition: Definition) -> Any:
    """Runs a definition and returns its network; only in the sandbox.

    Raises:
        RefusedError: This is not the sandbox.
        InputError: The definition fails, or makes no network.
    """
    require_inside()
    torch = import_torch()
    scope: dict[str, Any] = {"__name__": "architecture", "__file__": definition.file}
    try:
        exec(compile(definition.source, definition.file, "exec"), scope)  # noqa: S102 - locked in
        network = scope[definition.name]()
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise InputError(
            f"--arch {definition.file}:{definition.name}() failed: {type(error).__name__}: {error}; it is called without arguments"
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise InputError(f"{definition.file}:{definition.name}() gives {_kind(network)}, expected a torch.nn.Module")
    return network


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"

"""Definitions of networks in Python, `FILE.py:CALLABLE`: read and looked through anywhere, run in the sandbox only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwsbench.errors import InputError
from kwsbench.sandbox import require_inside

_MAX_BYTES = 1 << 20
_ALLOWED_MODULES = frozenset(
    {"__future__", "collections", "dataclasses", "enum", "functools", "itertools", "math", "torch", "typing"}
)
_TELLTALE_MODULES = ("torch.autograd", "torch.library", "torch.overrides", "torch.utils")
_TELLTALE_NAMES = frozenset(
    {"__builtins__", "__import__", "breakpoint", "compile", "delattr", "eval", "exec", "globals", "input", "locals"}
    | {"memoryview", "open", "setattr", "vars"}
)
_TELLTALE_ATTRIBUTES = frozenset(
    {"__bases__", "__builtins__", "__code__", "__dict__", "__getattribute__", "__globals__", "__mro__"}
    | {"__subclasses__", "_C", "_dispatch", "_forward_hooks", "_forward_pre_hooks", "_ops", "classes", "data_ptr"}
    | {"f_back", "numpy", "ops", "register_forward_hook", "register_forward_pre_hook", "tolist", "untyped_storage"}
)


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
    """Returns what in a definition reaches beyond torch, and so could reach around the audit that runs beside it.

    A definition is Python and runs in the process that counts it. Whoever uses only `torch`, `math` and the like
    cannot touch the counter; what else is used is named, with its line, and must be read by a person.
    """
    found = (_suspicion(node) for node in ast.walk(ast.parse(definition.source)))
    return [f"{definition.file}, line {line}: {what}" for line, what in sorted({one for one in found if one})]


def _suspicion(node: ast.AST) -> tuple[int, str] | None:
    match node:
        case ast.Import(names=names):
            strange = [alias.name for alias in names if not _is_plain(alias.name)]
            what = f"imports {', '.join(strange)}" if strange else ""
        case ast.ImportFrom(module=module, names=names, level=level):
            strange = [f"{module}.{alias.name}" for alias in names if level or not _is_plain(f"{module}.{alias.name}")]
            what = f"imports {', '.join(strange)}" if strange else ""
        case ast.Name(id=name) if name in _TELLTALE_NAMES:
            what = f"uses {name}"
        case ast.Attribute(attr=name) if name in _TELLTALE_ATTRIBUTES:
            what = f"uses .{name}"
        case ast.Attribute(value=ast.Name(id="torch"), attr=name) if f"torch.{name}" in _TELLTALE_MODULES:
            what = f"uses torch.{name}"
        case ast.Call(func=ast.Name(id="getattr"), args=[_, asked, *_]):
            what = _suspicious_getattr(asked)
        case _:
            what = ""
    return (getattr(node, "lineno", 0), what) if what else None


def _suspicious_getattr(asked: ast.expr) -> str:
    if not isinstance(asked, ast.Constant):
        return "getattr of a computed name"
    return f"getattr of {asked.value}" if asked.value in _TELLTALE_ATTRIBUTES else ""


def _is_plain(module: str) -> bool:
    if any(f"{module}.".startswith(f"{telltale}.") for telltale in _TELLTALE_MODULES):
        return False
    return module.partition(".")[0] in _ALLOWED_MODULES


def build(definition: Definition) -> Any:
    """Runs a definition and returns its network; only in the sandbox.

    Raises:
        RefusedError: This is not the sandbox.
        InputError: The definition fails, or makes no network.
    """
    require_inside()
    import torch

    scope: dict[str, Any] = {"__name__": "architecture", "__file__": definition.file}
    try:
        exec(compile(definition.source, definition.file, "exec"), scope)  # noqa: S102 - locked in
        network = scope[definition.name]()
    except Exception as error:
        raise InputError(
            f"--arch {definition.file}:{definition.name}() failed: {type(error).__name__}: {error}; it is called without arguments"
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise InputError(f"{definition.file}:{definition.name}() is a {type(network).__name__}, not a torch.nn.Module")
    return network

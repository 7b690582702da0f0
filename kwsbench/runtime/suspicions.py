"""What in a definition could reach around the audit: found by reading it, not by running it.

A definition is Python, and runs in the process that counts it. Whoever uses torch, mathematics and the like alone cannot
touch the counter. What else is used is named with its line, and a person must read it: imports other than those, names
with which Python looks at itself, private attributes of anybody else, and assignments to what was imported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

_MODULES = frozenset(
    {"__future__", "collections", "collections.abc", "dataclasses", "enum", "functools", "itertools", "math", "typing"}
    | {"torch", "torch.fft", "torch.linalg", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.nn.modules"}
    | {"torch.nn.parameter", "torch.nn.utils", "torch.nn.utils.parametrizations", "torch.nn.utils.rnn", "torch.special"}
    | {"brevitas", "brevitas.nn", "brevitas.quant", "brevitas.core"}
)
"""What a network may import."""

_NAMES = frozenset(
    {"__builtins__", "__import__", "__loader__", "__spec__", "breakpoint", "compile", "delattr", "eval", "exec"}
    | {"globals", "input", "locals", "memoryview", "open", "setattr", "vars"}
)
"""Names with which Python looks at itself, or at the machine."""

_ATTRIBUTES = frozenset(
    # Python's inside, as it hangs on functions, frames and iterators.
    {"cell_contents", "cr_frame", "f_back", "f_globals", "f_locals", "gi_frame", "tb_frame", "get_type_hints"}
    | {"ForwardRef", "bltns"}
    # Parts of torch that run, load, watch or replace code.
    | {"autograd", "backends", "classes", "compile", "distributed", "export", "fork", "futures", "fx", "hub", "jit"}
    | {"library", "load", "multiprocessing", "onnx", "ops", "overrides", "package", "profiler", "save", "serialization"}
    | {"testing", "utils"}
    # Ways out of torch, and ways in that it does not see.
    | {"apply_", "data_ptr", "from_file", "map2_", "map_", "numpy", "share_memory_", "to_dlpack", "tolist"}
    | {"untyped_storage"}
    # Torch's inside.
    | {"_C", "_VF", "_call_impl", "_compile", "_custom_ops", "_decomp", "_dispatch", "_dynamo", "_export", "_functorch"}
    | {"_forward_hooks", "_forward_pre_hooks", "_guards", "_higher_order_ops", "_inductor", "_jit_internal", "_lazy"}
    | {
        "_library",
        "_logging",
        "_ops",
        "_prims",
        "_python_dispatch",
        "_refs",
        "_subclasses",
        "_sys",
        "_tensor",
        "_utils",
    }
    # Hooks, and what tells that a network is watched.
    | {"get_num_threads", "get_rng_state", "initial_seed", "is_grad_enabled", "is_inference_mode_enabled", "random"}
    | {"register_forward_hook", "register_forward_pre_hook", "register_hook", "set_num_threads"}
)
"""Attributes that lead out of what a network computes, whatever they are attributes of."""

_HARMLESS = frozenset({"code", "copy", "math", "select", "trace", "signal", "array", "numbers"})
"""Modules of Python whose names are also those of harmless attributes."""

_OWN = frozenset({"self", "cls"})
_OWN_SPECIAL = frozenset({"__init__", "__call__", "__len__", "__name__"})
_DEFINED_SPECIAL = frozenset(
    {"__init__", "__post_init__", "__len__", "__iter__", "__getitem__", "__contains__", "__repr__", "__str__"}
)
_LISTINGS = frozenset({"buffers", "children", "modules", "named_buffers", "named_children", "named_modules"}) | {
    *("named_parameters", "parameters", "state_dict")
}
"""Methods that tell what belongs to a network."""


def suspicions_in(source: str) -> list[tuple[int, str]]:
    """Returns what a person must read in the source of a definition: line and what it does, in the order of lines."""
    tree = ast.parse(source)
    reader = _Reader(tree)
    return sorted({(getattr(node, "lineno", 0), what) for node in ast.walk(tree) for what in reader.look_at(node)})


class _Reader:
    """Looks at one node after the other, knowing what names stand for."""

    def __init__(self, tree: ast.Module) -> None:
        self._imported = _imported(tree)
        self._called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        self._own = _own_private_names(tree)

    def look_at(self, node: ast.AST) -> Iterator[str]:
        """Yields what is strange about a node itself, not about what is in it."""
        match node:
            case ast.Import(names=names):
                yield from (f"imports {one.name}" for one in names if one.name not in _MODULES)
            case ast.ImportFrom():
                yield from (f"imports {name}" for name in _strange_imports(node))
            case ast.Name(id=name):
                yield from self._look_at_name(node)
            case ast.Attribute():
                yield from self._look_at_attribute(node)
            case ast.Call(func=ast.Name(id="getattr"), args=[_, asked, *_]):
                yield from _look_at_getattr(asked)
            case ast.Lambda(args=arguments):
                yield from ("gives the name self to anything" for one in arguments.args if one.arg in _OWN)
            case ast.MatchClass(kwd_attrs=names):
                yield from (f"uses .{name}" for name in names if _is_strange(name))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield from [f"defines {name}"] if _is_defined_oddly(name) else []

    def _look_at_name(self, node: ast.Name) -> Iterator[str]:
        if node.id in _NAMES or (node.id == "getattr" and id(node) not in self._called):
            yield f"uses {node.id}"
        if node.id in _OWN and isinstance(node.ctx, ast.Store):
            yield "gives the name self to anything"

    def _look_at_attribute(self, node: ast.Attribute) -> Iterator[str]:
        if not isinstance(node.ctx, ast.Load):
            if _dotted(node.value, self._imported) is not None:
                yield f"changes {ast.unparse(node)}"
        elif _is_strange(node.attr) and not self._is_known(node):
            yield f"uses .{node.attr}"

    def _is_known(self, node: ast.Attribute) -> bool:
        is_own = _is_own(node.value) and node.attr in self._own
        return is_own or _dotted(node, self._imported) in _MODULES


def _look_at_getattr(asked: ast.expr) -> Iterator[str]:
    if not isinstance(asked, ast.Constant):
        yield "getattr of a computed name"
    elif _is_strange(str(asked.value)):
        yield f"uses .{asked.value!s}"


def _is_defined_oddly(name: str) -> bool:
    return name in _LISTINGS or (_is_special(name) and name not in _DEFINED_SPECIAL)


def _imported(tree: ast.Module) -> dict[str, str]:
    """What each name stands for that an import binds, or an assignment of something imported."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            whole = [(one.asname, one.name) if one.asname else (one.name.partition(".")[0],) * 2 for one in node.names]
            names |= dict(whole)
        elif isinstance(node, ast.ImportFrom):
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Assign) and (dotted := _dotted(node.value, names)) is not None:
            names |= {target.id: dotted for target in node.targets if isinstance(target, ast.Name)}
    return names


def _dotted(node: ast.expr, imported: dict[str, str]) -> str | None:
    """The full name of something that was imported, `torch.nn.functional`; None for all else."""
    if isinstance(node, ast.Name):
        return imported.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, imported)
        return None if base is None else f"{base}.{node.attr}"
    return None


def _strange_imports(node: ast.ImportFrom) -> Iterator[str]:
    for one in node.names:
        full = f"{'.' * node.level}{node.module or ''}.{one.name}"
        if full not in _MODULES and (node.module not in _MODULES or node.level or _is_strange(one.name)):
            yield full


def _is_strange(name: str) -> bool:
    if _is_special(name):
        return name not in _OWN_SPECIAL
    return name.startswith(("_", "*")) or name in _ATTRIBUTES or name in sys.stdlib_module_names - _HARMLESS


def _own_private_names(tree: ast.Module) -> set[str]:
    """Names with an underscore that the classes of the file set or define themselves."""
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own(node.value):
            names.add(node.attr)
    return {name for name in names if name.startswith("_") and not _is_special(name)} - _ATTRIBUTES


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_own(node: ast.expr) -> bool:
    """Whether something is the network itself, or the class above it."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in _OWN

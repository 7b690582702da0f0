"""What the Python code of a network keeps outside its modules: globals, defaults, closures, attributes of classes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import CellType, FunctionType
from typing import Any

_PLAIN = (bool, int, float, complex, str, bytes, bytearray)
_CONTAINERS = (list, tuple, set, frozenset)
_LIBRARIES = ("torch", "brevitas")
_EVER_NEW = itertools.count()


def hidden_values(network: Any) -> list[Any]:
    """Returns numbers, texts and lengths of lists that the network's own code can reach, in an order of their own.

    Two calls with nothing between them give equal lists, unless there is an iterator: nobody can tell how far it is.
    """
    classes = dict.fromkeys(one for module in network.modules() for one in type(module).__mro__)
    own = [one for one in classes if one is not object and one.__module__.partition(".")[0] not in _LIBRARIES]
    functions = [one for module in network.modules() for one in vars(module).values() if isinstance(one, FunctionType)]
    return _Walk({one.__module__ for one in own}).values_of([own, functions])


class _Walk:
    """A walk through everything that belongs to some Python modules.

    Args:
        modules: Their names; what comes from elsewhere is passed over.
    """

    def __init__(self, modules: set[str]) -> None:
        self._modules = modules
        self._met: dict[int, Any] = {}  # kept, so that no number of an object is used twice

    def values_of(self, start: Any) -> list[Any]:
        found: list[Any] = []
        waiting = [start]
        while waiting:
            one = waiting.pop()
            if isinstance(one, _PLAIN):
                found.append(bytes(one) if isinstance(one, bytearray) else one)
            elif id(one) not in self._met:
                self._met[id(one)] = one
                parts = list(self._parts(one))
                found.append((type(one).__name__, len(parts)))
                waiting += parts
        return found

    def _parts(self, one: Any) -> Iterator[Any]:
        if isinstance(one, _CONTAINERS):
            yield from one
        elif isinstance(one, dict):
            yield from (part for item in one.items() for part in item)
        elif isinstance(one, FunctionType):
            yield from self._parts_of_function(one)
        elif callable(getattr(one, "cache_info", None)):
            yield from one.cache_info()
        elif hasattr(type(one), "__next__"):
            yield next(_EVER_NEW)
        elif isinstance(one, classmethod | staticmethod):
            yield one.__func__
        elif isinstance(one, property):
            yield from (one.fget, one.fset)
        elif self._is_own(one):
            yield from (value for name, value in sorted(vars(one).items()) if name != "__dict__")

    def _parts_of_function(self, function: FunctionType) -> Iterator[Any]:
        if function.__module__ not in self._modules:
            return
        scope: dict[str, Any] = function.__globals__
        yield from (value for name, value in sorted(scope.items()) if name != "__builtins__")
        yield from (function.__defaults__, function.__kwdefaults__, vars(function))
        for cell in function.__closure__ or ():
            yield from _content(cell)

    def _is_own(self, one: Any) -> bool:
        kind = one if isinstance(one, type) else type(one)
        return kind.__module__ in self._modules and hasattr(one, "__dict__")


def _content(cell: CellType) -> Iterator[Any]:
    try:
        yield cell.cell_contents
    except ValueError:
        return  # it is empty

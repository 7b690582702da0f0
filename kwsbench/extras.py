"""Libraries that come with extras of the package: imported where they are used, and one sentence where they are not."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kwsbench.errors import InputError


def import_extra(module: str, extra: str, name: str = "") -> Any:
    """Imports a library.

    Args:
        module: What is imported (`onnxruntime`).
        extra: The extra of kwsbench that brings it (`onnx`).
        name: What people call it; the module's name where empty.

    Raises:
        InputError: It is not installed, with the command that installs it, or it cannot be loaded.
    """
    require_installed(module, extra, name)
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise InputError(f"{name or module} cannot be loaded ({error})") from error


def require_installed(module: str, extra: str, name: str = "") -> None:
    """Raises InputError where a library is missing, without loading it; for the arguments see `import_extra`."""
    if sys.modules.get(module) is None and importlib.util.find_spec(module.partition(".")[0]) is None:
        raise InputError(f"{name or module} is not installed; run `pip install 'kwsbench[{extra}]'`")


def import_torch() -> Any:
    """Imports PyTorch. Raises InputError that says how to install it."""
    if sys.modules.get("torch") is not None:
        return sys.modules["torch"]
    with _collector_at_rest():
        return import_extra("torch", "torch", "PyTorch")


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """An import makes a million objects, and all stay: looking for garbage among them, then and at exit, takes long."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()

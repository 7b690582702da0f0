"""Which code, and which module, calls an operator: read from the Python stack, without a hook in the network."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

_AUDIT = str(Path(__file__).parent)


class Stack:
    """Finds out who is running.

    Args:
        paths: Path of every module of the network, by the module's `id`.
    """

    def __init__(self, paths: Mapping[int, str]) -> None:
        import torch

        self._paths = paths
        self._torch = str(Path(torch.__file__).parent)
        self._skips: dict[str, bool] = {}

    def place(self) -> Hashable:
        """Returns the innermost code outside PyTorch and the audit; None for a script, which has none."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the fast way to the stack
        while frame is not None:
            if not self._is_skipped(frame.f_code.co_filename):
                return frame.f_code
            frame = frame.f_back
        return None

    def module(self) -> tuple[str, Any]:
        """Returns path and module of the innermost module whose `forward` is running."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as above
        while frame is not None:
            code = frame.f_code
            if code.co_name == "forward" and code.co_argcount and code.co_varnames[0] == "self":
                module = frame.f_locals.get("self")
                path = self._paths.get(id(module))
                if path is not None:
                    return path, module
            frame = frame.f_back
        return "", None

    def _is_skipped(self, filename: str) -> bool:
        known = self._skips.get(filename)
        if known is None:
            known = self._skips[filename] = filename.startswith((self._torch, _AUDIT))
        return known

"""Formulas of Fourier transforms, of one dimension or several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from math import prod
from typing import Any

from kwsbench.budget import costs
from kwsbench.budget.aten.call import Call, Formula, is_complex, is_tensor

DEFAULT_AXES: dict[str, Any] = {"": -1, "2": (-2, -1), "n": None}
"""What the functions of `torch.fft` transform by default, by how their names end."""


def _transforms(shape: Sequence[int], axis: int, points: int, *, real: bool) -> int:
    others = prod(size for position, size in enumerate(shape) if position != axis % len(shape))
    return costs.fourier_transform(points, others, real=real)


def _along(shape: Sequence[int], axes: Iterable[int]) -> int:
    """Counts complex transforms along every one of the axes."""
    return sum(_transforms(shape, axis, shape[axis], real=False) for axis in axes)


def _between_real_and_complex(shape: Sequence[int], axes: Sequence[int], points: int) -> int:
    """Counts transforms of real values to half a spectrum, or back: real along the last axis, complex along others."""
    *others, last = axes
    spectrum = list(shape)
    spectrum[last] = points // 2 + 1
    return _transforms(spectrum, last, points, real=True) + _along(spectrum, others)


def _complex_to_complex(call: Call) -> int:
    return _along(call.output.shape, call.arg(1, "dim"))


def _real_to_complex(call: Call) -> int:
    axes = call.arg(1, "dim")
    return _between_real_and_complex(call.output.shape, axes, call.tensor.shape[axes[-1]])


def _complex_to_real(call: Call) -> int:
    axes = call.arg(1, "dim")
    return _between_real_and_complex(call.output.shape, axes, call.output.shape[axes[-1]])


def _sizes(call: Call) -> Any:
    return call.arg(1, "n", call.kwargs.get("s"))


def _axes(call: Call, default: Any) -> Sequence[int]:
    axes = call.arg(2, "dim", default)
    if isinstance(axes, int):
        return [axes]
    rank = len(call.tensor.shape)
    sizes = _sizes(call)
    return axes or range(rank - len(sizes) if sizes else 0, rank)


def _spectrum(call: Call, default: Any) -> int:
    axes, shape = _axes(call, default), call.output.shape
    if default == DEFAULT_AXES[""] and not is_complex(call.tensor):
        return _transforms(shape, axes[0], shape[axes[0]], real=True)
    return _along(shape, axes)


def _half_spectrum(call: Call, default: Any) -> int:
    axes, sizes = _axes(call, default), _sizes(call)
    points = sizes[-1] if isinstance(sizes, list | tuple) else sizes
    return _between_real_and_complex(call.output.shape, axes, points or call.tensor.shape[axes[-1]])


def _signal(call: Call, default: Any) -> int:
    axes, shape = _axes(call, default), call.output.shape
    return _between_real_and_complex(shape, axes, shape[axes[-1]])


def _short_time(call: Call) -> int:
    """Counts a short-time transform: a window on every frame, and a transform of it."""
    points, window, output = call.arg(1, "n_fft"), call.arg(4, "window"), call.output
    shape = output.shape if is_complex(output) else output.shape[:-1]
    frames = prod(shape) // shape[-2]
    num_complex = sum(map(is_complex, (call.tensor, window)))
    factor = (costs.REAL, costs.COMPLEX_BY_REAL, costs.COMPLEX)[num_complex]
    is_windowed = is_tensor(window) or (call.arg(3, "win_length") or points) < points
    windows = costs.per_element(frames * points, multiplications=factor) if is_windowed else 0
    return costs.fourier_transform(points, frames, real=num_complex == 0) + windows


FOURIER: dict[str, Formula] = {
    "_fft_c2c": _complex_to_complex,
    "_fft_c2r": _complex_to_real,
    "_fft_r2c": _real_to_complex,
    "stft": _short_time,
    **{
        f"fft_{kind}fft{ending}": partial(formula, default=axes)
        for kinds, formula in {("", "i"): _spectrum, ("r", "ih"): _half_spectrum, ("ir", "h"): _signal}.items()
        for kind in kinds
        for ending, axes in DEFAULT_AXES.items()
    },
}

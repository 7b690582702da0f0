"""The surroundings in which a network is audited: one thread, no hidden kernels, no output, and a known seed.

PyTorch has short cuts in which several operators become one that nobody sees: mkldnn's recurrent layers, the fast path
of transformers, fusion of scripts. All are switched off for the time of an audit and put back afterwards.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

AUDITED_SEED, USUAL_SEED = 0, 20_250_117


@contextmanager
def audited_surroundings() -> Iterator[None]:
    """Sets up the surroundings of an audit; everything is as it was after the block."""
    import torch

    with ExitStack() as stack:
        for switch in (
            swallowed_output,
            _without_collector,
            _one_thread,
            _without_fast_paths,
            _without_fusion,
            _kept_seeds,
        ):
            stack.enter_context(switch())
        stack.enter_context(torch.no_grad())
        yield


@contextmanager
def usual_surroundings() -> Iterator[None]:
    """Sets up what a network runs in when it is used: two threads and all that makes PyTorch fast."""
    import torch

    with swallowed_output(), _kept_seeds(), _put_back(torch.get_num_threads(), torch.set_num_threads):
        torch.set_num_threads(2)
        with torch.inference_mode():
            yield


def seed_everything(seed: int = AUDITED_SEED) -> None:
    """Seeds every generator that a network may draw from, so that two runs draw the same."""
    import torch

    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the generator that a network's own code draws from


@contextmanager
def swallowed_output() -> Iterator[None]:
    """Drops what Python code prints, warns of and logs."""
    logging_was = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with _redirected(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging_was)


@contextmanager
def _redirected() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextmanager
def _without_collector() -> Iterator[None]:
    # It would look through all that PyTorch has loaded, again and again, which takes a third of the time.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    with _put_back(torch.get_num_threads(), torch.set_num_threads):
        torch.set_num_threads(1)
        yield


@contextmanager
def _without_fast_paths() -> Iterator[None]:
    import torch

    mha, core = torch.backends.mha, torch._C  # noqa: SLF001 - the public switch of mkldnn warns of another one
    mkldnn = _put_back(core._get_mkldnn_enabled(), core._set_mkldnn_enabled)  # noqa: SLF001
    with _put_back(mha.get_fastpath_enabled(), mha.set_fastpath_enabled), mkldnn:
        mha.set_fastpath_enabled(value=False)
        core._set_mkldnn_enabled(False)  # noqa: FBT003, SLF001
        yield


@contextmanager
def _without_fusion() -> Iterator[None]:
    import torch

    jit_api: Any = torch.jit
    jit: Any = torch._C  # noqa: SLF001 - the executor's switches have no public names
    executor, mode = jit._jit_set_profiling_executor(False), jit._jit_set_profiling_mode(False)  # noqa: FBT003, SLF001
    with ExitStack() as stack:
        stack.enter_context(_put_back(executor, jit._jit_set_profiling_executor))  # noqa: SLF001
        stack.enter_context(_put_back(mode, jit._jit_set_profiling_mode))  # noqa: SLF001
        stack.enter_context(_put_back(jit._jit_texpr_fuser_enabled(), jit._jit_set_texpr_fuser_enabled))  # noqa: SLF001
        stack.enter_context(jit_api.optimized_execution(should_optimize=False))
        jit._jit_set_texpr_fuser_enabled(False)  # noqa: FBT003, SLF001
        yield


@contextmanager
def _kept_seeds() -> Iterator[None]:
    import torch

    numpy_seed = _put_back(np.random.get_state(), np.random.set_state)  # noqa: NPY002 - as in seed_everything
    with numpy_seed, _put_back(random.getstate(), random.setstate), torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def _put_back(value: Any, setter: Callable[[Any], Any]) -> Iterator[None]:
    try:
        yield
    finally:
        setter(value)

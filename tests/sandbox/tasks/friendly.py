"""Tasks of well-behaved models."""

# ruff: noqa: ARG001 - every task takes the same three arguments
from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kwsbench.errors import CheckFailedError, InputError, KwsbenchError, Problem, RefusedError
from kwsbench.sandbox import inside, require_inside
from kwsbench.sandbox.wire import Arrays

Request = dict[str, Any]
Files = Mapping[str, Path]
Answer = tuple[dict[str, Any], Arrays]


def double(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Returns what it was given, its arrays doubled."""
    texts = {name: path.read_bytes().hex() for name, path in files.items()}
    return {"request": request, "files": texts}, {name: array + array for name, array in arrays.items()}


def chatty(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Prints in every way there is, then answers."""
    sys.stdout.write("to standard output")
    sys.stdout.flush()
    sys.stderr.write("to standard error")
    os.write(1, b"\x00" * 1000)
    return {"heard": sys.stdin.read()}, {}


def in_thread(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Answers from a thread."""
    answers: list[int] = []
    thread = threading.Thread(target=answers.append, args=(42,))
    thread.start()
    thread.join()
    return {"answers": answers}, {}


def where(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Says whether it is in the sandbox."""
    require_inside()
    return {"inside": inside()}, {}


def say(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Raises the error that it is asked for."""
    problems = [Problem(**problem) for problem in request.get("problems", [])]
    kinds = {kind.__name__: kind for kind in (CheckFailedError, InputError, KwsbenchError, RefusedError)}
    raise kinds[request["error"]](request["message"], problems)


def environment(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Returns its environment variables."""
    return dict(os.environ), {}


def with_torch(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Runs a convolution and a matrix product."""
    import torch

    product = torch.nn.functional.conv1d(torch.ones(1, 2, 5), torch.ones(3, 2, 3)).flatten(1) @ torch.ones(9, 1)
    return {"threads": torch.get_num_threads()}, {"product": product.numpy()}


def with_onnxruntime(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Runs an ONNX model that doubles its input."""
    import onnxruntime

    session = onnxruntime.InferenceSession(files["model.onnx"].read_bytes())
    return {}, {"y": session.run(None, arrays)[0]}


def script(request: Request, arrays: Arrays, files: Files) -> Answer:
    """Runs a TorchScript model."""
    import warnings

    import torch

    warnings.simplefilter("ignore")
    return {}, {"y": torch.jit.load(str(files["model.pt"]))(torch.zeros(1)).numpy()}

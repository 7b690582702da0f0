"""What in a definition must be read by a person before its counts are believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwsbench.catalogue import baseline_paths
from kwsbench.runtime.suspicions import suspicions_in

PLAIN = """
from __future__ import annotations
import math
from collections import OrderedDict
from dataclasses import dataclass
import torch
import torch.nn as nn
from torch import Tensor, nn as layers
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

SIZES = [16, 24]

@dataclass
class Config:
    width: int = 3

class Net(nn.Module):
    def __init__(self, config=Config()):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 4))
        self._hidden = nn.ModuleList([nn.Linear(4, 4) for _ in SIZES])
        self.register_buffer("window", torch.hann_window(400))
        self.out = nn.utils.weight_norm(nn.Linear(4, 4))

    def _norm(self, x):
        return (x - x.mean()) / torch.sqrt(x.var() + 1e-5)

    def forward(self, x):
        for layer in self._hidden:
            x = layer(x)
        y = torch.fft.rfft(x).abs().select(1, 0).unsqueeze(1)
        scale = getattr(self, "scale", 1)
        return F.relu(self._norm(x) @ self.weight) / math.sqrt(4) + x.copy_(y) * scale

Make = Net
"""


def test_a_plain_definition_raises_no_suspicion() -> None:
    """Torch, mathematics, own private attributes and methods are what a network needs."""
    assert suspicions_in(PLAIN) == []


def test_the_shipped_architectures_raise_none_but_for_kwsbench_itself() -> None:
    """Whoever writes a network as the baselines do is not accused of anything."""
    for path in baseline_paths().values():
        source = path.read_text(encoding="utf-8")
        if "nn.Module" in source:
            strange = [what for _, what in suspicions_in(source)]
            assert not [what for what in strange if not what.startswith(("imports kwsbench", "imports pathlib"))], path


@pytest.mark.parametrize(
    "line",
    [
        *("import os", "import numpy as np", "import torch._C", "import torch.utils", "from . import other"),
        *("from torch import utils", "from torch import _C", "from torch import ops", "from torch import sys"),
        *("from dataclasses import sys", "from dataclasses import inspect", "from torch import *"),
        *("m = torch.utils", "m = torch._C", "m = torch.ops.mine", "m = torch.sys", "m = torch.importlib"),
        *("m = F.importlib", "m = collections._sys", "m = typing.sys", "m = enum.bltns", "m = x.numpy()"),
        *("m = x.tolist()", "m = x.data_ptr()", "m = x.apply_(f)", "m = torch.load('w')", "m = torch.jit.fork(f)"),
        *("m = open('weights')", "m = eval('1')", "m = vars(x)", "setattr(x, 'y', 1)", "m = x.__globals__"),
        *("m = f.__closure__", "m = e.__traceback__", "m = e.tb_frame", "m = g.gi_frame", "m = x.__class__"),
        *("m = getattr(torch, '_C')", "m = getattr(torch, 'u' + 'tils')", "g = getattr", "m = map(getattr, x, y)"),
        *("m = self._forward_hooks", "m = self._modules", "m = torch.is_inference_mode_enabled()"),
        *("m = torch.initial_seed()", "torch.mm = f", "nn.Linear.forward = f", "torch.nn.functional.relu += f"),
        *("self = torch", "f = lambda self: self.width"),
    ],
)
def test_what_reaches_beyond_a_network_is_named_with_its_line(line: str) -> None:
    """Imports, names, attributes and assignments with which the audit could be reached are named."""
    source = "import torch, collections, typing, enum\nfrom torch import nn\nfrom torch.nn import functional as F\n"
    found = suspicions_in(source + line + "\n")
    assert found
    assert {number for number, _ in found} == {4}


@pytest.mark.parametrize(
    "source",
    [
        "import torch\nT = torch\nT.mm = print\n",
        "import torch as T\nm = T.autograd\n",
        "def f(x):\n    match x:\n        case object(__globals__=g):\n            return g\n",
        "class Net:\n    def named_parameters(self):\n        return []\n",
        "class Net:\n    def __torch_function__(self):\n        return 0\n",
        "class Net:\n    def f(self):\n        self._C = 1\n        return self._C\nNet.f(torch)\n",
    ],
    ids=["alias", "import as", "match", "listing", "special method", "own name of torch's inside"],
)
def test_ways_around_the_names_are_named_too(source: str) -> None:
    """Another name, a pattern, or a method that torch calls by itself hides nothing."""
    assert suspicions_in(source)


def test_a_file_is_read_and_not_run(tmp_path: Path) -> None:
    """Looking at a definition that writes a file when it is run leaves none behind."""
    marker = tmp_path / "ran"
    assert suspicions_in(f"open({str(marker)!r}, 'w')\n") == [(1, "uses open")]
    assert not marker.exists()

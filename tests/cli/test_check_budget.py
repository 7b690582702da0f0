"""`kwsbench check-budget` on real model files of every format, and on files that were written to do harm."""

from __future__ import annotations

import io
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from tests.checkpoints import checkpoint_of, write_checkpoint
from tests.sandboxed import needs_sandbox

if TYPE_CHECKING:
    from conftest import CommandLine

SHAPE = ("--input-shape", "1,8,20")
LIMITS = ("--max-params", "1000", "--max-macs", "100000")


class Evil:
    """Its pickle writes a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (self.marker, "w")


class Small(nn.Module):
    """8 x 4 x 3 + 4 x 2 numbers; 4 x 18 x 8 x 3 + 4 + 4 x 2 MACs on (1, 8, 20)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(8, 4, 3, bias=False)
        self.last = nn.Linear(4, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return self.last(self.first(x).mean(-1))


PARAMS, MACS = 8 * 4 * 3 + 4 * 2, 4 * 18 * 8 * 3 + 4 + 4 * 2


def write_script(path: Path, module: nn.Module) -> Path:
    """Writes a module as TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module.eval()).save(str(path))
    return path


def write_exported(path: Path, module: nn.Module) -> Path:
    """Writes a module as `.pt2`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module.eval(), (torch.zeros(1, 8, 20),)), path)
    return path


def with_entry(source: Path, target: Path, ending: str, content: bytes) -> Path:
    """Copies an archive with another content of the entry whose name ends so."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        assert [name for name in old.namelist() if name.endswith(ending)]
        for name in old.namelist():
            new.writestr(name, content if name.endswith(ending) else old.read(name))
    return target


def saved(value: Any) -> bytes:
    """What `torch.save` makes of a value."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_a_checkpoint_is_counted_in_two_ways_and_judged(kws: CommandLine) -> None:
    """The course baseline with 5 labels has the 3,205 numbers and 82,992 MACs by thop that the course states."""
    from kwsbench.catalogue import find_manifest
    from kwsbench.checkpoint.network import save_network

    sber = find_manifest("sber_keywords_5")[0]
    save_network(kws.folder / "model.pt", checkpoint_of("conv1d_sber", sber))
    report = kws.works("check-budget", "model.pt", "--max-params", "3205", "--max-macs", "82992", "--json").json
    assert report["thop"] == {"params": 3_205, "macs": 82_992}
    assert report["audit"]["params"] == 3_205
    assert report["within_budget"] is True
    over = kws("check-budget", "model.pt", "--max-params", "3204", "--json")
    assert (over.code, over.json["verdict"]) == (1, "over budget")


def test_limits_come_from_the_competition_of_the_folder(kws: CommandLine) -> None:
    """`leaderboard/competition.toml` in the current folder limits a model without any option."""
    write_checkpoint(kws.folder / "model.pt")
    (kws.folder / "leaderboard").mkdir()
    (kws.folder / "leaderboard" / "competition.toml").write_text("[limits]\nmax_params = 100\n")
    ran = kws("check-budget", "model.pt")
    assert ran.code == 1
    assert "leaderboard/competition.toml" in ran.out


@needs_sandbox
def test_every_format_of_one_network_has_the_same_counts(kws: CommandLine) -> None:
    """state_dict and safetensors with --arch, TorchScript, .pt2 and ONNX give the integers derived by hand."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = Small()
    torch.save(network.state_dict(), kws.folder / "weights.pt")
    torch.save({"state_dict": {f"model.{k}": v for k, v in network.state_dict().items()}}, kws.folder / "lit.ckpt")
    save_file(network.state_dict(), kws.folder / "weights.safetensors")
    write_script(kws.folder / "script.pt", network)
    write_exported(kws.folder / "model.pt2", network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (torch.zeros(1, 8, 20),), kws.folder / "model.onnx", dynamo=False)
    definition = Path(__file__).with_name("small_network.py")
    shutil.copy(definition, kws.folder / "net.py")
    arch = ("--arch", "net.py:Small")
    for words in (
        ("weights.pt", *arch),
        ("lit.ckpt", *arch),
        ("weights.safetensors", *arch),
        ("script.pt",),
        ("model.pt2",),
        ("model.onnx",),
    ):
        report = kws.works("check-budget", *words, *SHAPE, *LIMITS, "--json").json
        assert report["audit"] == {"params": PARAMS, "macs": MACS}, words
        assert report["within_budget"] is True, words


def test_weights_alone_are_counted_and_the_way_to_the_macs_is_said(kws: CommandLine) -> None:
    """A plain state_dict without --arch gives its parameters, no MACs, and how to get them."""
    torch.save(Small().state_dict(), kws.folder / "weights.pt")
    report = kws.works("check-budget", "weights.pt", "--json").json
    assert (report["params"], report["macs"]) == (PARAMS, None)
    assert "--arch FILE.py:CALLABLE" in str(report["findings"])


def test_trees_are_counted_as_nodes_and_leaves(kws: CommandLine) -> None:
    """A LightGBM model has nodes, leaves and comparisons, and no MACs."""
    report = kws.works("check-budget", "models/tiny/tiny.txt", "--json").json
    assert report["params"] == report["tree_nodes"] + report["tree_leaves"] > 0
    assert report["comparisons_per_clip"] > 0
    assert report["macs"] is None


PRINTS = """
import torch
from torch import nn

class Chatty(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 2))

    def forward(self, x):
        print("look at me" * 1000)
        import warnings, logging, sys, os
        warnings.warn("careful")
        logging.getLogger().error("oh")
        os.write(1, b"raw")
        sys.stderr.write("err")
        return x.mean(-1) @ self.weight
"""


@needs_sandbox
def test_a_model_that_prints_does_not_disturb_json(kws: CommandLine) -> None:
    """What a model prints, warns, logs and writes to file descriptors while it runs is not in the output."""
    (kws.folder / "net.py").write_text(PRINTS)
    torch.save({"weight": torch.ones(8, 2)}, kws.folder / "weights.pt")
    ran = kws("check-budget", "weights.pt", "--arch", "net.py:Chatty", *SHAPE, "--json")
    assert ran.json["audit"] == {"params": 16, "macs": 8 + 16}
    assert not [word for word in ("look at me", "careful", "oh", "raw", "err") if word in ran.err]


@pytest.mark.parametrize("name", ["model.pt", "model.ckpt"])
def test_a_pickle_with_a_payload_is_refused_and_not_run(name: str, kws: CommandLine, tmp_path: Path) -> None:
    """Weights beside which a payload is pickled are refused with exit code 3, and the payload does not run."""
    marker = tmp_path / "ran"
    torch.save({"state_dict": Small().state_dict(), "hyper_parameters": Evil(marker)}, kws.folder / name)
    kws.fails(3, "check-budget", name, says=["loading it would run code"])
    assert not marker.exists()


@needs_sandbox
@pytest.mark.parametrize("ending", ["sample_inputs/model.pt", "weights/weight_0"])
def test_a_payload_in_an_exported_program_reaches_nothing(ending: str, kws: CommandLine, tmp_path: Path) -> None:
    """A `.pt2` whose sample inputs or weights are a pickled payload leaves no trace outside the sandbox."""
    marker = tmp_path / "ran"
    honest = write_exported(tmp_path / "honest.pt2", Small())
    with_entry(honest, kws.folder / "model.pt2", ending, saved(Evil(marker)))
    ran = kws("check-budget", "model.pt2", *SHAPE)
    assert not marker.exists()
    assert "Traceback" not in ran.err + ran.out


class WritesFile(nn.Module):
    """Maps a file into memory and writes to it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path: str = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        mapped = torch.from_file(self.path, True, 4)  # noqa: FBT003
        mapped.fill_(1.0)
        return x.sum(-1) + mapped.sum()


@needs_sandbox
def test_torchscript_cannot_read_or_write_files(kws: CommandLine, tmp_path: Path) -> None:
    """TorchScript that maps a file of the user finds none, and the file stays as it was."""
    victim = tmp_path / "victim"
    victim.write_bytes(bytes(16))
    write_script(kws.folder / "model.pt", WritesFile(str(victim)))
    kws.fails(2, "check-budget", "model.pt", *SHAPE, says=["fails on every input"])
    assert victim.read_bytes() == bytes(16)


class NeverEnds(nn.Module):
    """Adds for ever."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        while bool(x.isfinite().any()):
            x = x + 1
        return x


class TakesAll(nn.Module):
    """Asks for 80 GB, and touches them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return x.sum(-1) + torch.ones(20_000_000_000).sum()


@needs_sandbox
def test_torchscript_that_never_ends_is_stopped(kws: CommandLine) -> None:
    """An endless loop is refused once its processor time is over."""
    write_script(kws.folder / "model.pt", NeverEnds())
    kws.fails(3, "check-budget", "model.pt", *SHAPE, says=["model.pt", "s of processor time"])


@needs_sandbox
def test_torchscript_that_takes_all_memory_is_stopped(kws: CommandLine) -> None:
    """A tensor of 80 GB is not made."""
    write_script(kws.folder / "model.pt", TakesAll())
    ran = kws("check-budget", "model.pt", *SHAPE)
    assert ran.code in {2, 3}
    assert "Traceback" not in ran.err


def test_without_a_sandbox_strangers_code_is_refused(kws: CommandLine, tmp_path: Path) -> None:
    """Where bubblewrap is missing, TorchScript and definitions are refused with how to install it, never run here."""
    write_script(kws.folder / "model.pt", Small())
    empty = tmp_path / "bin"
    empty.mkdir()
    kws.fails(3, "check-budget", "model.pt", *SHAPE, says=["bubblewrap"], env={"PATH": str(empty)})
    torch.save(Small().state_dict(), kws.folder / "weights.pt")
    shutil.copy(Path(__file__).with_name("small_network.py"), kws.folder / "net.py")
    arch = ("--arch", "net.py:Small")
    kws.fails(3, "check-budget", "weights.pt", *arch, *SHAPE, says=["bubblewrap"], env={"PATH": str(empty)})


def test_without_a_sandbox_checkpoints_trees_and_onnx_are_counted(kws: CommandLine, tmp_path: Path) -> None:
    """Formats that run none of their author's code need no bubblewrap."""
    write_checkpoint(kws.folder / "model.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Small().eval(), (torch.zeros(1, 8, 20),), kws.folder / "model.onnx", dynamo=False)
    for name in ("model.pt", "model.onnx", "models/tiny/tiny.txt"):
        kws.works("check-budget", name, env={"PATH": str(tmp_path)})


@needs_sandbox
def test_a_definition_that_reaches_beyond_torch_is_not_certified(kws: CommandLine) -> None:
    """Imports with which a definition could change the counter are named, and nothing is certified."""
    text = Path(__file__).with_name("small_network.py").read_text(encoding="utf-8")
    (kws.folder / "net.py").write_text(f"{text}\nimport gc\n")
    torch.save(Small().state_dict(), kws.folder / "weights.pt")
    ran = kws("check-budget", "weights.pt", "--arch", "net.py:Small", *SHAPE, *LIMITS, "--json")
    assert (ran.code, ran.json["verdict"]) == (1, "cannot certify")
    assert "imports gc" in str(ran.json["findings"])


def test_ten_gigabytes_are_refused_at_once(kws: CommandLine) -> None:
    """A sparse file of 10 GB is refused by its size."""
    with (kws.folder / "model.pt").open("wb") as file:
        file.truncate(10 << 30)
    ran = kws("check-budget", "model.pt")
    assert ran.code in {2, 3}
    assert "10,737,418,240 bytes" in ran.err
    (kws.folder / "model.pt").unlink()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("weights.pt", "--arch", "net.py:Small"), "--input-shape"),
        (("weights.pt", "--arch", "net.py:Big", *SHAPE), "defines no Big"),
        (("weights.pt", "--arch", "other.py:Small", *SHAPE), "no such file"),
        (("script.pt", "--arch", "net.py:Small", *SHAPE), "holds its own architecture"),
        (("script.pt",), "--input-shape"),
        (("script.pt", "--input-shape", "8,20"), "did you mean 1,8,20"),
        (("script.pt", "--input-shape", "1,9,20"), "fails on every input"),
        (("missing.pt",), "missing.pt"),
        (("net.py",), "net.py"),
        ((".",), "folder"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
@needs_sandbox
def test_wrong_input_is_one_message(words: tuple[str, ...], says: str, kws: CommandLine) -> None:
    """What is missing or does not fit is said in one message with exit code 2."""
    torch.save(Small().state_dict(), kws.folder / "weights.pt")
    write_script(kws.folder / "script.pt", Small())
    shutil.copy(Path(__file__).with_name("small_network.py"), kws.folder / "net.py")
    kws.fails(2, "check-budget", *words, says=[says])


def test_a_file_that_nobody_may_read_is_one_message(kws: CommandLine) -> None:
    """Without the right to read there is one message."""
    path = write_checkpoint(kws.folder / "model.pt")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    ran = kws("check-budget", "model.pt")
    assert ran.code == 2
    assert "permission denied" in ran.err


def test_json_begins_with_the_keys_that_scripts_rely_on(kws: CommandLine) -> None:
    """The record has the keys of the design, in their order."""
    write_checkpoint(kws.folder / "model.pt")
    report = json.loads(kws.works("check-budget", "model.pt", "--json").out)
    assert list(report)[:12] == [
        *("model", "format", "params", "macs", "weight_bytes", "thop", "audit", "front_end", "limits"),
        *("within_budget", "findings", "layers"),
    ]

"""`kwsbench export`, and `kwsbench predict` with what it writes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from kwsbench.catalogue import find_manifest
from tests.checkpoints import write_checkpoint
from tests.sandboxed import needs_sandbox

if TYPE_CHECKING:
    from conftest import CommandLine

MANIFEST = Path(__file__).with_name("tiny_data.toml")


@needs_sandbox
def test_a_checkpoint_and_its_exports_predict_the_same(kws: CommandLine) -> None:
    """ONNX, .pt2 and TorchScript are compared on real clips, and give the checkpoint's labels and scores."""
    write_checkpoint(kws.folder / "model.pt", manifest=find_manifest(str(MANIFEST))[0])
    written = kws.works("export", "model.pt", "-o", "exports", "--json").json
    assert written["real_clips"] is True
    assert [row["format"] for row in written["exports"]] == ["onnx", "pt2", "torchscript"]
    kws.works("predict", "model.pt", "--manifest", "tiny", "-o", "original.csv")
    original = pl.read_csv(kws.folder / "original.csv")
    for row in written["exports"]:
        kws.works("predict", row["path"], "--manifest", "tiny", "-o", "export.csv")
        exported = pl.read_csv(kws.folder / "export.csv")
        assert exported["path"].equals(original["path"])
        assert exported["label"].equals(original["label"])
        scores = [name for name in original.columns if name.startswith("score_")]
        assert len(scores) == 4
        assert (exported.select(scores) - original.select(scores)).to_numpy().__abs__().max() < 1e-4


def test_only_checkpoints_can_be_exported(kws: CommandLine) -> None:
    """A LightGBM model is told apart in one message."""
    kws.fails(2, "export", "models/tiny/tiny.txt", says=["models/tiny/tiny.txt"])


def test_without_a_sandbox_onnx_is_exported_and_torchscript_refused(kws: CommandLine, tmp_path: Path) -> None:
    """What cannot be read again safely is not written."""
    write_checkpoint(kws.folder / "model.pt")
    kws.works("export", "model.pt", "--to", "onnx", env={"PATH": str(tmp_path)})
    kws.fails(3, "export", "model.pt", "--to", "torchscript", says=["bubblewrap"], env={"PATH": str(tmp_path)})


def test_predict_says_what_a_foreign_model_lacks(kws: CommandLine) -> None:
    """A model without kwsbench's header has no labels and no front-end, and that is the message."""
    import torch

    torch.save({"weight": torch.ones(2, 2)}, kws.folder / "weights.pt")
    kws.fails(2, "predict", "weights.pt", "--manifest", "tiny", says=["does not say which labels it gives"])
    shutil.rmtree(kws.folder / "models")


def test_the_course_baseline_stores_3205_numbers_as_trained_and_3077_as_exported(kws: CommandLine) -> None:
    """ONNX has batch norm folded into the convolutions before it, and the check says so; .pt2 keeps it."""
    write_checkpoint(kws.folder / "model.pt", manifest=find_manifest("sber_keywords_5")[0])
    kws.works("export", "model.pt", "--to", "onnx")
    trained, exported = (kws.works("check-budget", name, "--json").json for name in ("model.pt", "model.onnx"))
    assert (trained["params"], exported["params"]) == (3_205, 3_077)
    assert any("folds batch norm" in finding["message"] for finding in exported["findings"])
    assert "128 running means and variances" in trained["findings"][0]["message"]


def test_a_network_is_rounded_to_8_bits_after_its_training(kws: CommandLine) -> None:
    """`--to onnx-int8` measures on real clips, says how many labels stay, and `predict` takes what it writes."""
    manifest = find_manifest(str(MANIFEST))[0]
    write_checkpoint(kws.folder / "model.pt", manifest=manifest)
    written = kws.works("export", "model.pt", "--to", "onnx-int8", "--json").json["exports"]
    assert [Path(row["path"]).name for row in written] == ["model.int8.onnx"]
    assert written[0]["equal_labels"] >= 0.5
    kws.works("predict", "model.int8.onnx", "--manifest", "tiny", "-o", "rounded.csv")
    write_checkpoint(kws.folder / "other.pt")
    kws.fails(2, "export", "other.pt", "--to", "onnx-int8", says=["takes real clips", "--manifest"])

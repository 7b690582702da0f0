"""How long `check-budget` takes, in process and in the sandbox, against a bare `python -c "import torch"`.

The model is a 10k-parameter network, `bc_resnet_1` with untrained weights: as a kwsbench checkpoint, and exported to
TorchScript and ONNX.

python benchmarks/check_budget_startup.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import side_by_side

_KWSBENCH = (sys.executable, "-m", "kwsbench")


def main() -> None:
    """Measures and prints medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--baseline", default="bc_resnet_1")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = _models(arguments.baseline, Path(folder))
        within = ("--max-params", "1000000", "--max-macs", "100000000")
        commands = {name: [*_KWSBENCH, "check-budget", str(path), *within] for name, path in models.items()}
        side_by_side(commands | {"import torch": [sys.executable, "-c", "import torch"]}, arguments.rounds)


def _models(baseline: str, folder: Path) -> dict[str, Path]:
    """Writes the models in processes of their own: what this one held would be counted as its children's."""
    checkpoint = folder / "model.pt"
    code = f"from networks import write_untrained; write_untrained({baseline!r}, {str(checkpoint)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True)
    export = [*_KWSBENCH, "export", str(checkpoint), "--to", "torchscript", "--to", "onnx"]
    subprocess.run(export, check=True, capture_output=True)
    return {
        "checkpoint": checkpoint,
        "TorchScript, sandbox": folder / "model.ts.pt",
        "ONNX, sandbox": folder / "model.onnx",
    }


if __name__ == "__main__":
    main()

"""How long `check-budget` takes, in process and in the sandbox, against a bare `python -c "import torch"`.

The models are a 10k-parameter network: `bc_resnet_1` with untrained weights as a kwsbench checkpoint, its TorchScript
and its ONNX export.

python benchmarks/check_budget_startup.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from networks import untrained
from timing import side_by_side

from kwsbench.checkpoint.model_file import Format
from kwsbench.checkpoint.network import save_network
from kwsbench.export import SUFFIXES, comparison_clips, export


def main() -> None:
    """Measures and prints medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--baseline", default="bc_resnet_1")
    arguments = parser.parse_args()
    check = [sys.executable, "-m", "kwsbench", "check-budget"]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = untrained(arguments.baseline)
        path = Path(folder, "model.pt")
        save_network(path, checkpoint)
        outputs = {one: Path(folder, f"model{SUFFIXES[one]}") for one in (Format.TORCHSCRIPT, Format.ONNX)}
        list(export(checkpoint, comparison_clips(checkpoint.header, None, None, 8).inputs, outputs))
        commands = {"checkpoint": path, **{f"{one} (sandbox)": made for one, made in outputs.items()}}
        side_by_side(
            {
                name: [*check, str(made), "--max-params", "100000", "--max-macs", "10000000"]
                for name, made in commands.items()
            }
            | {"import torch": [sys.executable, "-c", "import torch"]},
            arguments.rounds,
        )


if __name__ == "__main__":
    main()

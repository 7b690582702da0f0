"""How fast the command line answers: `--help` against a bare `python -c "import polars"`.

python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import sys

from timing import side_by_side


def main() -> None:
    """Measures and prints medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    kwsbench = [sys.executable, "-m", "kwsbench"]
    side_by_side(
        {
            "kwsbench --help": [*kwsbench, "--help"],
            "kwsbench score --help": [*kwsbench, "score", "--help"],
            "import polars": [sys.executable, "-c", "import polars"],
        },
        parser.parse_args().rounds,
    )


if __name__ == "__main__":
    main()

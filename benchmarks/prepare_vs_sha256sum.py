"""`kwsbench data prepare` and `verify` against `sha256sum` over the same files with as many processes.

    python benchmarks/prepare_vs_sha256sum.py CLIPS_FOLDER

CLIPS_FOLDER holds Speech Commands v0.01, or a part of it, in the layout of the official archive.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path

from timing import side_by_side

MANIFEST = "speech_commands_v1_30"


def main() -> None:
    """Measures and prints medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    clips = arguments.clips.resolve()
    files = [path for path in sorted(clips.rglob("*.wav")) if path.parent.name != "_background_noise_"]
    print(
        f"{len(files):,} clips, {sum(path.stat().st_size for path in files) / 1e6:,.0f} MB, {os.cpu_count()} processes"
    )
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "files"
        listing.write_bytes(b"\0".join(os.fsencode(path) for path in files))
        kwsbench = [sys.executable, "-m", "kwsbench", "data"]
        where = ["--data", folder]
        checksums = f"xargs -0 -P {os.cpu_count()} -n 500 sha256sum < {shlex.quote(str(listing))}"
        side_by_side(
            {
                "kwsbench data prepare": [*kwsbench, "prepare", MANIFEST, "--from", str(clips), "--partial", *where],
                "kwsbench data verify": [*kwsbench, "verify", MANIFEST, *where],
                "sha256sum": ["sh", "-c", checksums],
            },
            arguments.rounds,
        )


if __name__ == "__main__":
    main()

"""What is said where an optional package is not installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import CommandLine

MODEL = "models/tiny/tiny.txt"


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("lightgbm", ("train", "tiny", "--manifest", "tiny"), "kwsbench[lightgbm]"),
        ("lightgbm", ("predict", MODEL, "--manifest", "tiny"), "kwsbench[lightgbm]"),
        ("matplotlib", ("score", "preds.csv", "--plots"), "kwsbench[plots]"),
        ("espeakng_loader", ("data", "synth", "espeak_12"), "kwsbench[espeak]"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_missing_package_is_one_error_that_names_the_extra(
    package: str, words: tuple[str, ...], extra: str, kws: CommandLine, baselines: tuple
) -> None:
    """Without LightGBM, matplotlib or espeak-ng a command names what to install, and writes nothing."""
    hidden = {"HIDDEN_MODULES": f"{kws.env['HIDDEN_MODULES']},{package}"}
    own = baselines if package == "lightgbm" else ()
    kws.fails(2, *words, *own, env=hidden, says=["is not installed", f"pip install '{extra}'"])


def test_scoring_needs_no_optional_package(kws: CommandLine) -> None:
    """Data, scores and comparisons work with the packages that kwsbench itself requires."""
    hidden = {"HIDDEN_MODULES": "lightgbm,matplotlib,espeakng_loader,sklearn,pandas,librosa,torch"}
    kws.works("data", "verify", "tiny", env=hidden)
    kws.works("score", "preds.csv", env=hidden)

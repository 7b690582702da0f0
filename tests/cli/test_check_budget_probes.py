"""What `check-budget` runs a model on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kwsbench.catalogue import find_manifest
from tests.checkpoints import write_checkpoint
from tests.cli.conftest import MANIFEST

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

SOUNDS = ["silence", "noise", "speech", "loud"]


def test_clips_of_its_own_data_set_are_among_the_probes(kws: CommandLine) -> None:
    """A checkpoint is also run on clips that it was made for, where they are prepared, and the report says so."""
    write_checkpoint(kws.folder / "model.pt", manifest=find_manifest(str(MANIFEST))[0])
    assert kws("check-budget", "model.pt", "--json").json["probes"] == [*SOUNDS, "clip 1", "clip 2", "clip 3", "clip 4"]


def test_without_clips_a_checkpoint_is_run_on_synthetic_sound(kws: CommandLine) -> None:
    """Where the data set of a checkpoint is not prepared, the probes are made."""
    write_checkpoint(kws.folder / "model.pt")
    ran = kws("check-budget", "model.pt")
    assert f"Executed on {', '.join(SOUNDS)}\n" in ran.out

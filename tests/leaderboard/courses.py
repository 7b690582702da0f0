"""A competition in a folder: a tiny benchmark without audio, its truth, its rules, and entries that are made to order."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kwsbench.leaderboard.board import Board
from kwsbench.leaderboard.collect import Sources, collect
from kwsbench.leaderboard.rules import Rules, read_rules
from kwsbench.predictions import Truth, write_predictions
from kwsbench.submission.form import Files, Form, Hashes, form_text
from kwsbench.submission.judging import House
from kwsbench.submission.report import SECTIONS
from tests.conftest import TINY_MANIFEST

LABELS = ("yes", "no", "_unknown_", "_silence_")
MONDAY = datetime(2026, 11, 2, 12, tzinfo=UTC)
REPORT = "# Ours\n\n" + "".join(f"## {name}\n\nA sentence about it.\n\n" for name in SECTIONS)


def safetensors(**tensors: NDArray[np.float32]) -> bytes:
    """Returns a safetensors file."""
    header, data = {}, b""
    for name, values in tensors.items():
        raw = values.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def truth_of(num_clips: int = 200, num_speakers: int = 40) -> Truth:
    """Returns clips of all labels in turn, some of them silence without a speaker."""
    codes = np.arange(num_clips, dtype=np.int32) % len(LABELS)
    names = [f"{clip // 4 % num_speakers:08x}" if code < 3 else "" for clip, code in enumerate(codes.tolist())]
    ids = pl.Series("path", [f"{LABELS[code]}/{clip:05d}.wav" for clip, code in enumerate(codes.tolist())])
    return Truth(ids, LABELS, 2, codes, pl.Series("speaker_id", names))


def wrong_on(truth: Truth, clips: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int32]:
    """Returns the truth, with the next label on some clips."""
    predicted = truth.truth.copy()
    places = np.asarray(clips, dtype=np.int64)
    predicted[places] = (predicted[places] + 1) % len(truth.labels)
    return predicted


@dataclass
class Course:
    """A competition that entries are added to.

    Attributes:
        root: Its folder.
        more: Further lines of the rules.
        truth: What the clips are.
    """

    root: Path
    more: str = ""
    truth: Truth = field(default_factory=truth_of)

    def __post_init__(self) -> None:
        (self.root / "submissions").mkdir(parents=True)
        (self.root / "data").mkdir()
        (self.root / "tiny.toml").write_text(TINY_MANIFEST.partition("[expected.train]")[0], encoding="utf-8")
        labels = [LABELS[code] for code in self.truth.truth]
        table = {"path": self.truth.clip_ids, "label": labels, "speaker_id": self.truth.speakers}
        pl.DataFrame(table).write_csv(self.root / "truth.csv")
        self.set_rules(self.more)

    def set_rules(self, more: str) -> None:
        """Writes rules that begin with the manifest and the truth."""
        text = f'manifest = "./tiny.toml"\ntruth = "truth.csv"\n{more}\n'
        (self.root / "competition.toml").write_text(text, encoding="utf-8")

    @property
    def submissions(self) -> Path:
        """Folder of the entries."""
        return self.root / "submissions"

    @property
    def rules(self) -> Rules:
        """The rules as they are now."""
        return read_rules(self.root / "competition.toml")

    @property
    def house(self) -> House:
        """Where entries are judged."""
        return House(self.rules.manifest, data=self.root / "data", truth=self.rules.truth)

    def add(  # noqa: PLR0913 -- an entry has many sides
        self,
        key: str,
        predicted: NDArray[np.integer] | int = 0,
        *,
        submitted: datetime = MONDAY,
        title: str = "An entry",
        model: bytes | None = None,
        report: str = REPORT,
        scores: bool = False,
    ) -> Path:
        """Writes an entry; a number is that of the clips, from the first one on, that it gets wrong."""
        folder = self.submissions / key
        folder.mkdir(parents=True, exist_ok=True)
        codes = wrong_on(self.truth, np.arange(predicted)) if isinstance(predicted, int) else predicted
        columns = {name: (codes == code) + 0.25 * (self.truth.truth == code) for code, name in enumerate(LABELS)}
        labels = [LABELS[code] for code in codes]
        write_predictions(folder / "predictions.csv", self.truth.clip_ids, labels, columns if scores else None)
        own = np.frombuffer(hashlib.sha256(key.encode()).digest(), dtype=np.uint8).astype(np.float32)
        (folder / "model.safetensors").write_bytes(model or safetensors(weight=own))
        (folder / "report.md").write_text(report, encoding="utf-8")
        self.seal(folder, submitted, title)
        return folder

    def seal(self, folder: Path, submitted: datetime = MONDAY, title: str = "An entry") -> None:
        """Writes the form of what lies in a folder."""
        files = Files(model="model.safetensors")
        form = Form(
            team=folder.parent.name,
            entry=folder.name,
            title=title,
            members=("Ada L.",),
            manifest="tiny",
            clips_sha256="0" * 64,
            split="test",
            submitted=submitted,
            kwsbench="0.1.0",
            files=files,
            sha256=Hashes(
                **{
                    part: hashlib.sha256((folder / name).read_bytes()).hexdigest()
                    for part, name in files.named().items()
                }
            ),
        )
        (folder / "submission.toml").write_text(form_text(form), encoding="utf-8")

    def board(self, *, private: bool = False, **sources: object) -> Board:
        """Makes the board as it is now, in this process."""
        settings: dict[str, object] = {"house": self.house, "jobs": 1, **sources}
        return collect(self.submissions, self.rules, Sources(**settings), private=private)  # type: ignore[arg-type]

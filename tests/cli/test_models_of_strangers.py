"""Model files that are cut off, come from elsewhere, or were written to do harm."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import CommandLine, Tiny

MODEL = "models/tiny/tiny.txt"


def _with_header(folder: Path, change: Callable[[dict[str, Any]], Any]) -> str:
    """Writes the model with another header, and returns its name."""
    first, header, rest = (folder / MODEL).read_text(encoding="utf-8").split("\n", 2)
    fields = json.loads(header.removeprefix("kwsbench="))
    change(fields)
    text = json.dumps(fields).replace("=", "\\u003d")
    (folder / "changed.txt").write_text(f"{first}\nkwsbench={text}\n{rest}", encoding="utf-8")
    return "changed.txt"


@pytest.mark.parametrize("name", ["evil", "evil.py", "./evil.py", "../here/evil", "{folder}/evil.py"])
def test_a_model_cannot_choose_which_file_is_run(name: str, kws: CommandLine, baselines: tuple) -> None:
    """A header whose baseline is a path is refused; whatever it says, no file outside the chosen folder is imported."""
    marker = kws.folder / "evil_was_here"
    (kws.folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    model = _with_header(kws.folder, lambda header: header.update(baseline=name.format(folder=kws.folder)))
    bare = name == "evil"
    says = "which is not here (there are: " if bare else "a model cannot choose which file is run"
    kws.fails(2 if bare else 3, "predict", model, "--manifest", "tiny", *baselines, says=[says])
    assert not marker.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda header: header.update(format=2), "format: input should be 1"),
        (lambda header: header.update(later="x"), "later: extra inputs are not permitted"),
        (lambda header: header.pop("labels"), "labels: field required"),
        (lambda header: header.update(labels=["low", "low", "да", "_unknown_"]), "a label appears twice"),
        (lambda header: header.update(labels=["../../x", "high", "да", "_unknown_"]), "labels.0"),
        (lambda header: header["config"].update(depth=3), "setting depth"),
        (lambda header: header["config"].update(num_leaves="4"), "setting num_leaves: found '4', expected an integer"),
        (lambda header: header["config"].update(with_deviation=False), "takes 80 features, and the baseline gives 40"),
        (lambda header: header["front_end"].update(num_mels=10**9), "front_end.num_mels"),
        (lambda header: header["front_end"].update(num_mels=41), "takes 80 features, and the baseline gives 82"),
        (lambda header: header.update(clip_samples=10**12), "clip_samples"),
        (lambda header: header.update(labels=["low", "high", "no", "_unknown_"]), "found labels low, high, no"),
        (lambda header: header.update(sample_rate_hz=8_000), "at 8000 Hz"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_a_header_that_does_not_fit_is_one_message(
    change: Callable[[dict[str, Any]], Any], says: str, kws: CommandLine, baselines: tuple
) -> None:
    """A header of another version, of another baseline or for other data says what does not fit."""
    kws.fails(2, "predict", _with_header(kws.folder, change), "--manifest", "tiny", *baselines, says=[says])


def _cut(text: bytes) -> bytes:
    return text[: len(text) // 2]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda _: b"", "bad.txt is empty"),
        (lambda _: b"RIFF\x24\x00\x00\x00WAVEfmt \xff\xfe", "it seems to be audio"),
        (_cut, "is cut off: it begins as a LightGBM text model"),
        (lambda text: text.split(b"\n", 1)[0] + b"\n" + text.split(b"\n", 2)[2], "without kwsbench's header"),
        (lambda text: text.replace(b'{"format"', b'["format"', 1), "all of it"),
        (lambda text: text.replace(b"num_class=4", b"num_class=x", 1), "is damaged"),
    ],
    ids=["empty", "a WAV", "cut off", "LightGBM's own", "no JSON", "damaged"],
)
def test_a_file_that_is_no_model_is_one_message(
    content: Callable[[bytes], bytes], says: str, kws: CommandLine, baselines: tuple
) -> None:
    """A file that is no model, or not all of one, says what it is instead."""
    (kws.folder / "bad.txt").write_bytes(content((kws.folder / MODEL).read_bytes()))
    kws.fails(2, "predict", "bad.txt", "--manifest", "tiny", *baselines, says=[says])


@pytest.mark.parametrize(
    ("path", "says"),
    [("models", "it is a folder"), ("/dev/zero", "it is a device"), ("no.txt", "no such file")],
    ids=["folder", "device", "missing"],
)
def test_a_path_that_is_no_file_is_one_message(path: str, says: str, kws: CommandLine, baselines: tuple) -> None:
    """A folder, a device or a missing file is not read as a model."""
    kws.fails(2, "predict", path, "--manifest", "tiny", *baselines, says=[says])


def test_a_model_for_other_labels_says_so(kws: CommandLine, tiny: Tiny, baselines: tuple) -> None:
    """A model is not run on a data set whose labels are not its own."""
    manifest = (tiny.folder / "data/tiny/manifest.toml").read_text(encoding="utf-8")
    swapped = manifest.replace('"low", "high"', '"high", "low"').replace('name = "tiny"', 'name = "swapped"')
    (kws.folder / "swapped.toml").write_text(swapped, encoding="utf-8")
    kws.works("data", "prepare", "swapped.toml", "--from", tiny.audio)
    says = ["made for tiny, does not fit swapped", "train one with --manifest swapped"]
    kws.fails(2, "predict", MODEL, "--manifest", "swapped", *baselines, says=says)


def test_a_model_goes_through_other_line_endings(kws: CommandLine, baselines: tuple) -> None:
    """A model whose line endings a mail program or an editor has changed still runs."""
    (kws.folder / MODEL).write_bytes((kws.folder / MODEL).read_bytes().replace(b"\n", b"\r\n"))
    earlier = kws.files()["preds.csv"]
    kws.works("predict", MODEL, "--manifest", "tiny", *baselines)
    assert kws.files()["preds.csv"] == earlier


BROKEN_BASELINES = {
    "no such module": ("import nothing_like_it\n", "failed in line 1: ModuleNotFoundError"),
    "syntax": ("x = 1\ndef (:\n", "failed in line 2: SyntaxError"),
    "no rounds": ("TINY\n@dataclass(frozen=True)\nclass Config:\n    depth: int = 1\n", "no field num_boost_round"),
    "no default": ("TINY\n@dataclass(frozen=True)\nclass Config:\n    depth: int\n", "without a simple default"),
    "not complete": ("class Config:\n    pass\n", "no function summarise"),
    "summarise": ("TINY\ndef summarise(features, config):\n    return features[0] / nothing\n", "NameError"),
    "shape": ("TINY\ndef summarise(features, config):\n    return features[0]\n", "gives the shape (40, 21)"),
    "parameters": ("TINY\ndef lightgbm_parameters(*_):\n    return {'objective': 'magic'}\n", "objective"),
    "front end": ("TINY\ndef front_end(config, default):\n    return default.with_mfcc(0)\n", "greater than 0"),
}


@pytest.mark.parametrize("kind", BROKEN_BASELINES)
def test_a_broken_baseline_names_its_line(kind: str, kws: CommandLine, baselines: tuple) -> None:
    """An error in somebody's own baseline file is one message with the line, not a traceback of the kit."""
    text, says = BROKEN_BASELINES[kind]
    (kws.folder / "mine.py").write_text(text.replace("TINY", (baselines[1] / "tiny.py").read_text()))
    kws.fails(2, "train", "mine.py", "--manifest", "tiny", says=["mine", says])


def test_an_own_baseline_works_by_its_path_and_by_its_folder(kws: CommandLine, baselines: tuple) -> None:
    """A baseline given by path is found again by the command that `train` names, and missed with a hint otherwise."""
    (kws.folder / "own").mkdir()
    shutil.copy(baselines[1] / "tiny.py", kws.folder / "own/mine.py")
    ran = kws.works("train", "own/mine.py", "--manifest", "tiny")
    following = ran.err.splitlines()[-1].removeprefix("Next: kwsbench ").split()
    assert following[1] == "models/tiny/mine.txt"
    kws.works(*following)
    says = ["trained with the baseline 'mine'", "name its folder with --baselines"]
    kws.fails(2, "predict", "models/tiny/mine.txt", "--manifest", "tiny", says=says)

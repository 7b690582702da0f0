"""From audio to `clips.csv`: the same bytes everywhere, whole or not at all, and nothing wrong slips in."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from kwsbench.dataset import prepare as prepare_module
from kwsbench.dataset.clips import CLIP_COLUMNS, load_prepared, load_samples
from kwsbench.dataset.places import Places
from kwsbench.dataset.prepare import split_counts
from kwsbench.errors import CheckFailedError, InputError
from kwsbench.manifest import SPLITS, read_manifest
from tests.conftest import MANIFESTS, TINY_MANIFEST, Tiny, pcm_of, write_tiny_audio, write_wav

FILES = ("clips.csv", "manifest.toml", "prepared.json")


def _table(folder: Path) -> list[dict[str, str]]:
    with (folder / "clips.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_table_says_what_is_heard(tiny: Tiny) -> None:
    """Each row has length and hash of its PCM, and of silence the stretch that is cut out of the noise."""
    rows = _table(tiny.prepare().folder)
    assert list(rows[0]) == list(CLIP_COLUMNS)
    assert len(rows) == 32
    for row in rows:
        file, _, start = row["path"].partition("#")
        name, length = file.removeprefix("_background_noise_/"), int(row["num_samples"])
        whole = pcm_of(file, {"rain.wav": 40_000, "street.wav": 60_000}.get(name, 1_600))
        pcm = whole[2 * int(start or 0) :][: 2 * length]
        assert (length, row["start_sample"]) == (1_600, start or "0")
        assert row["pcm_sha256"] == hashlib.sha256(pcm).hexdigest()
        assert (row["gain"] == "1") == (row["label"] != "_silence_")


def test_clips_keep_their_own_length(tiny: Tiny) -> None:
    """A clip that is shorter or longer than the manifest's length is noted as it is."""
    write_wav(tiny.root / "yes" / "00176480_nohash_0.wav", 1)
    write_wav(tiny.root / "yes" / "00000001_nohash_0.wav", 9_999)
    lengths = {row["path"]: row["num_samples"] for row in _table(tiny.prepare().folder)}
    assert lengths["yes/00176480_nohash_0.wav"] == "1"
    assert lengths["yes/00000001_nohash_0.wav"] == "9999"


def test_speakers_stay_text(tiny: Tiny) -> None:
    """Ids that look like numbers are written as they are named."""
    speakers = {row["speaker_id"] for row in _table(tiny.prepare().folder)}
    assert {"00176480", "1641e121", "00000001", "10000000"} <= speakers


def test_preparing_twice_gives_the_same_bytes(tiny: Tiny) -> None:
    """A second run writes the same three files."""
    first = _contents(tiny.prepare().folder)
    assert _contents(tiny.prepare().folder) == first
    assert set(first) == set(FILES)


def test_neither_the_order_of_the_folder_nor_the_processors_change_a_byte(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the audio made in another order, read by one thread or by many, gives the same table."""
    first = tiny.prepare().table.read_bytes()
    paths = sorted((path for path in tiny.root.rglob("*") if path.is_file()), reverse=True)
    for path in paths:
        target = tmp_path / "copy" / path.relative_to(tiny.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    copy = Tiny(tmp_path / "copy", tiny.manifest_path, Places(tmp_path / "elsewhere"))
    monkeypatch.setattr(prepare_module, "_FILES_PER_TASK", 3)
    for processors in (1, 7, None):
        monkeypatch.setattr(os, "cpu_count", lambda count=processors: count)
        assert copy.prepare().table.read_bytes() == first


def test_counts_that_differ_are_a_failed_check(tiny: Tiny) -> None:
    """Every split and label whose count is off is named, and nothing is written."""
    (tiny.root / "yes" / "00176480_nohash_0.wav").unlink()
    write_wav(tiny.root / "no" / "99999999_nohash_0.wav")
    with pytest.raises(CheckFailedError, match="nothing was written") as caught:
        tiny.prepare()
    assert [str(problem) for problem in caught.value.problems] == [
        "train, label yes: found 3 clips, expected 4",
        "train, label no: found 5 clips, expected 4",
    ]
    assert not tiny.places.root.exists()


def test_a_part_is_prepared_when_asked_for(tiny: Tiny) -> None:
    """With `partial` a part is accepted, and is known as a part from then on."""
    shutil.rmtree(tiny.root / "cat")
    (tiny.root / "yes" / "00176480_nohash_0.wav").unlink()
    dataset = tiny.prepare(partial=True)
    assert not dataset.complete
    assert not load_prepared(dataset.folder).complete
    assert split_counts(dataset)["train"] == {"yes": 3, "no": 4, "_unknown_": 4, "_silence_": 4}


def test_the_whole_is_complete_also_when_a_part_would_do(tiny: Tiny) -> None:
    """`partial` on audio that is all there makes no part of it."""
    assert tiny.prepare(partial=True).complete


def test_a_label_without_clips_is_a_failed_check_without_counts_too(tiny: Tiny) -> None:
    """A manifest without [expected] still needs some clip of every label, for a slip in a folder's name."""
    tiny.forget_counts()
    (tiny.root / "yes").rename(tiny.root / "Yes")
    with pytest.raises(CheckFailedError) as caught:
        tiny.prepare()
    assert [str(problem) for problem in caught.value.problems] == [
        "label yes: found no clips in any split, expected at least one"
    ]


def test_no_clips_at_all_is_an_error(tiny: Tiny) -> None:
    """A folder with none of the words is not this data set."""
    for word in ("yes", "no"):
        shutil.rmtree(tiny.root / word)
    with pytest.raises(InputError, match="no clips of tiny"):
        tiny.prepare(partial=True)


def test_damaged_clips_are_named_all_at_once(tiny: Tiny) -> None:
    """Every kind of damage is listed with its clip in one error, and nothing is written."""
    word = tiny.root / "yes"
    (word / "00176480_nohash_0.wav").write_bytes(b"")
    write_wav(word / "1641e121_nohash_0.wav", rate_hz=8_000)
    write_wav(word / "0a7c2a8d_nohash_0.wav", channels=2)
    for name in ("beefbeef", "00000001", "00000002"):
        path = word / f"{name}_nohash_0.wav"
        path.write_bytes(path.read_bytes()[: -int(name[-1], 16)])
    with pytest.raises(InputError, match=r"6 clips of tiny in .* cannot be used") as caught:
        tiny.prepare(partial=True)
    assert {problem.where.partition("_")[0] for problem in caught.value.problems} == {
        f"yes/{name}" for name in ("00176480", "1641e121", "0a7c2a8d", "beefbeef", "00000001", "00000002")
    }
    for found in ("an empty file", "8000 Hz mono", "16000 Hz stereo", "a file that is cut off"):
        assert found in str(caught.value)
    assert not tiny.places.root.exists()


def test_many_clips_with_the_same_damage_are_counted(tiny: Tiny) -> None:
    """A download that broke a hundred clips, each at another place, does not fill the screen."""
    for number in range(100):
        path = write_wav(tiny.root / "yes" / f"{number:08x}_nohash_1.wav", 100)
        path.write_bytes(path.read_bytes()[: 100 + number])
    with pytest.raises(InputError, match="100 clips of tiny") as caught:
        tiny.prepare()
    assert len(caught.value.problems) == 10
    assert "(and 90 more like it)" in str(caught.value)


@pytest.mark.parametrize("failure", ["damage", "counts", "layout"])
def test_a_failure_keeps_what_was_prepared_before(tiny: Tiny, failure: str) -> None:
    """Whatever stops a second run, the result of the first is still there."""
    before = _contents(tiny.prepare().folder)
    if failure == "damage":
        (tiny.root / "yes" / "00176480_nohash_0.wav").write_bytes(b"")
    elif failure == "counts":
        (tiny.root / "yes" / "00176480_nohash_0.wav").unlink()
    else:
        (tiny.root / "testing_list.txt").unlink()
    with pytest.raises((InputError, CheckFailedError)):
        tiny.prepare()
    assert _contents(tiny.places.root / "tiny") == before


def test_a_full_disk_keeps_what_was_prepared_before(tiny: Tiny) -> None:
    """When the table cannot be written whole, manifest and state beside it are not replaced either."""
    folder = tiny.prepare().folder
    before = _contents(folder)
    assert len(before["clips.csv"]) > 2 * 1_024
    tiny.edit('title = "Tiny"', 'title = "Another"')
    prepare = [sys.executable, "-m", "kwsbench", "data", "prepare", tiny.manifest_path, "--from", tiny.root]
    command = ["sh", "-c", 'ulimit -f 2; exec "$@"', "sh", *prepare, "--data", tiny.places.root]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2, result.stderr
    assert "File too large" in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert _contents(folder) == before


def test_audio_outside_the_data_folder_is_named_in_full(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audio that lies elsewhere is found again from any folder, also where it was named by a relative path."""
    monkeypatch.chdir(tiny.root.parent)
    relative = Tiny(Path("audio"), tiny.manifest_path, Places(Path("data")))
    relative.prepare()
    monkeypatch.chdir("/")
    dataset = load_prepared(tiny.places.root / "tiny")
    assert dataset.audio_root == tiny.root
    assert load_samples(dataset.split("test"), dataset).any()


def test_a_data_folder_can_be_moved(tiny: Tiny, tmp_path: Path) -> None:
    """Audio inside the data folder is found again after the whole folder was moved or mounted elsewhere."""
    root = tiny.places.audio_root(tiny.manifest)
    write_tiny_audio(root)
    Tiny(root, tiny.manifest_path, tiny.places).prepare()
    assert not Path(json.loads((tiny.places.root / "tiny" / "prepared.json").read_text())["audio_root"]).is_absolute()
    tiny.places.root.rename(tmp_path / "moved")
    dataset = load_prepared(tmp_path / "moved" / "tiny")
    assert load_samples(dataset.split("test"), dataset).any()


def test_the_manifest_is_kept_beside_the_table(tiny: Tiny) -> None:
    """The copy is the manifest that was used, without the byte order mark that it may have had."""
    tiny.manifest_path.write_text(TINY_MANIFEST, encoding="utf-8-sig")
    dataset = tiny.prepare()
    assert (dataset.folder / "manifest.toml").read_text(encoding="utf-8") == TINY_MANIFEST
    assert load_prepared(dataset.folder).manifest == tiny.manifest


def test_counts_are_by_split_and_label(tiny: Tiny) -> None:
    """What is shown after preparing is what the manifest expects, labels in its order."""
    counts = split_counts(tiny.prepare())
    assert counts == tiny.manifest.expected
    assert list(counts) == list(SPLITS)
    assert all(list(labels) == list(tiny.manifest.labels) for labels in counts.values())


def test_host_labels_and_ids_are_kept(tmp_path: Path) -> None:
    """A table of the course's homework has the ids as text in a column of their own, and empty labels in the test."""
    path = next(path for path in MANIFESTS if path.stem == "sber_keywords_5")
    tables = {
        "train/manifest_train.csv": "path,label\na.wav,sber\n",
        "train/manifest_val.csv": "path,label\nb.wav,joy\n",
        "test/manifest.csv": "index,path\n00176480,a.wav\n1641e121,b.wav\n",
    }
    for name, text in tables.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    for clip in ("train/a.wav", "train/b.wav", "test/a.wav", "test/b.wav"):
        write_wav(tmp_path / clip)
    places = Places(tmp_path / "data")
    dataset = prepare_module.prepare(read_manifest(path), path, tmp_path, places, partial=True)
    assert [(row["path"], row["label"], row["index"]) for row in _table(dataset.folder)] == [
        ("test/a.wav", "", "00176480"),
        ("test/b.wav", "", "1641e121"),
        ("train/a.wav", "sber", "0"),
        ("train/b.wav", "joy", "0"),
    ]
    assert load_prepared(dataset.folder).split("test")["index"].to_list() == ["00176480", "1641e121"]
    assert split_counts(dataset)["test"] == {"": 2}


def test_names_with_commas_and_quotes_survive_the_table(tiny: Tiny) -> None:
    """File names that a CSV has to quote come back as they are."""
    names = ('a, "b".wav', "take#1.wav", " c .wav", "はい.wav", "new\nline.wav")
    for name in names:
        write_wav(tiny.root / "yes" / name)
    dataset = tiny.prepare(partial=True)
    rows = dataset.clips.filter(pl.col("path").is_in([f"yes/{name}" for name in names]))
    assert len(rows) == len(names)
    assert load_samples(rows, dataset).any(axis=1).all()

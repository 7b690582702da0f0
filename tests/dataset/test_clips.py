"""The prepared data set as every later step reads it: its table, its audio, and what happens when either is damaged."""

from __future__ import annotations

import json
import re
import wave
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.dataset.clips import (
    CLIP_COLUMNS,
    PreparedDataset,
    audio_file,
    batches,
    load_prepared,
    load_samples,
    open_dataset,
)
from kwsbench.errors import InputError
from kwsbench.files import sha256_of_file
from tests.conftest import Tiny, write_wav

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200, database=None)

CLIP = "yes/00176480_nohash_0.wav"


def _rows(dataset: PreparedDataset, path: str) -> pl.DataFrame:
    return dataset.clips.filter(pl.col("path").str.starts_with(path))


def _heard(path: Path) -> list[float]:
    """Samples as the standard library reads them, in [-1, 1)."""
    with wave.open(str(path)) as file:
        data = file.readframes(file.getnframes())
    return [int.from_bytes(data[at : at + 2], "little", signed=True) / 32_768 for at in range(0, len(data), 2)]


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("yes/a.wav", "yes/a.wav"),
        ("noise/rain.wav#16000", "noise/rain.wav"),
        ("noise/RAIN.WAV#0", "noise/RAIN.WAV"),
        ("yes/take#1.wav", "yes/take#1.wav"),
        ("c#/a.wav", "c#/a.wav"),
        ("noise/a.wav#1.wav#2", "noise/a.wav#1.wav"),
        ("new\nline.wav#3", "new\nline.wav"),
    ],
)
def test_the_file_of_a_clip_is_its_path_without_the_start(path: str, file: str) -> None:
    """Only a number after `.wav#` is a start; a `#` elsewhere belongs to the name."""
    assert audio_file(path) == file


@PROPERTY
@given(st.text(), st.integers(0, 10**9))
def test_the_file_of_any_clip_is_found_again(name: str, start: int) -> None:
    """Putting a start behind a file and taking it off again changes nothing, whatever the name."""
    assert audio_file(f"{name}.wav#{start}") == f"{name}.wav"
    assert audio_file(f"{name}.wav") == f"{name}.wav"


# The table


def test_ids_stay_text(tiny: Tiny) -> None:
    """Speakers that look like numbers or floats, and empty ones, are read as the text that they are."""
    clips = tiny.prepare().clips
    assert clips.schema == CLIP_COLUMNS
    assert clips["speaker_id"].null_count() == 0
    assert {"00176480", "1641e121", "00000001", ""} <= set(clips["speaker_id"])


def test_empty_cells_are_empty_text(tiny: Tiny) -> None:
    """A table rewritten by a program that does not quote empty cells reads the same."""
    dataset = tiny.prepare()
    dataset.table.write_text(dataset.table.read_text(encoding="utf-8").replace('""', ""), encoding="utf-8")
    assert load_prepared(dataset.folder).clips["speaker_id"].null_count() == 0


def test_the_hash_of_the_table_names_the_data(tiny: Tiny) -> None:
    """It is the SHA-256 of the file, and another clip makes another one."""
    dataset = tiny.prepare()
    assert dataset.clips_sha256 == sha256_of_file(dataset.table)
    write_wav(tiny.root / CLIP, b"\x01\x00")
    assert tiny.prepare().clips_sha256 != dataset.clips_sha256


def test_a_split_has_its_clips_in_the_order_of_the_table(tiny: Tiny) -> None:
    """Splitting the table loses no clip and moves none."""
    dataset = tiny.prepare()
    parts = [dataset.split(split) for split in ("test", "train", "validation")]
    assert pl.concat(parts).equals(dataset.clips)


def test_a_split_without_clips_is_an_error(tiny: Tiny) -> None:
    """A split that nothing is in cannot be scored or trained on."""
    dataset = tiny.prepare()
    lines = dataset.table.read_text(encoding="utf-8").splitlines(keepends=True)
    dataset.table.write_text("".join(line for line in lines if ",validation," not in line), encoding="utf-8")
    with pytest.raises(InputError, match="no clips in the split 'validation'"):
        load_prepared(dataset.folder).split("validation")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"(?s).*", ""),
        (r"(?s).{200}\Z", ""),
        (",1600,", ",long,"),
        (",1600,", ","),
        (",1600,", ",1600,more,"),
        (r"(?s).+", "\0\0\0\0"),
        (r"\Z", '"yes/open quote.wav'),
    ],
    ids=["empty", "cut off", "no number", "short rows", "long rows", "zeros", "open quote"],
)
def test_a_damaged_table_is_told_as_such(tiny: Tiny, old: str, new: str) -> None:
    """A table that was cut or edited by accident is an error that says what to do, not a wrong result."""
    dataset = tiny.prepare()
    dataset.table.write_text(re.sub(old, new, dataset.table.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot read .*clips\.csv: .*; prepare tiny again"):
        _ = load_prepared(dataset.folder).clips


def test_a_table_that_is_gone_is_told_as_such(tiny: Tiny) -> None:
    """Neither the clips nor the hash of a missing table fail with a traceback."""
    dataset = tiny.prepare()
    dataset.table.unlink()
    for name in ("clips", "clips_sha256"):
        with pytest.raises(InputError, match="prepare tiny again"):
            getattr(load_prepared(dataset.folder), name)


# Opening


def test_a_data_set_is_opened_by_name_and_by_the_path_of_its_manifest(tiny: Tiny) -> None:
    """Both ways lead to the same prepared data set."""
    prepared = tiny.prepare()
    for name in ("tiny", str(tiny.manifest_path)):
        dataset = open_dataset(name, tiny.places)
        assert (dataset.manifest, dataset.audio_root, dataset.complete) == (tiny.manifest, tiny.root, True)
        assert dataset.clips_sha256 == prepared.clips_sha256


def test_a_manifest_that_has_changed_since_is_refused(tiny: Tiny) -> None:
    """A manifest edited after preparing no longer says what was prepared."""
    tiny.prepare()
    tiny.edit("fraction = 0.5", "fraction = 0.25")
    with pytest.raises(InputError, match="has changed since tiny was prepared"):
        open_dataset(str(tiny.manifest_path), tiny.places)


@pytest.mark.parametrize("name", ["speech_commands_v2_12", "tiny"])
def test_a_data_set_that_is_not_prepared_is_told_as_such(tiny: Tiny, name: str) -> None:
    """The command that prepares it is named; a name that nobody knows is told as unknown."""
    says = "is not prepared in .*; run `kwsbench data prepare" if name != "tiny" else "no manifest is called 'tiny'"
    with pytest.raises(InputError, match=says):
        open_dataset(name, tiny.places)


def test_a_file_in_the_place_of_the_data_set_is_not_prepared(tmp_path: Path) -> None:
    """A file named like a data set is nothing that was prepared."""
    (tmp_path / "tiny").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="is not prepared"):
        load_prepared(tmp_path / "tiny")


@pytest.mark.parametrize("state", ["", "{", "[]", "null", "{}", '{"audio_root": 5, "complete": true}', "\ufffe"])
def test_a_damaged_state_is_told_as_such(tiny: Tiny, state: str) -> None:
    """Whatever happened to prepared.json, the message names it and says what to do."""
    folder = tiny.prepare().folder
    (folder / "prepared.json").write_text(state, encoding="utf-8")
    with pytest.raises(InputError, match=r"prepared\.json is damaged; prepare tiny again"):
        load_prepared(folder)


def test_bytes_that_are_no_text_are_a_damaged_state(tiny: Tiny) -> None:
    """A prepared.json that is no UTF-8 is damaged too."""
    folder = tiny.prepare().folder
    (folder / "prepared.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match="is damaged"):
        load_prepared(folder)


def test_a_manifest_copy_that_is_gone_is_told_as_such(tiny: Tiny) -> None:
    """The manifest beside the table is part of what was prepared."""
    folder = tiny.prepare().folder
    (folder / "manifest.toml").unlink()
    with pytest.raises(InputError, match=r"cannot read the manifest .*manifest\.toml"):
        load_prepared(folder)


# Audio


def test_a_clip_is_heard_as_it_is(tiny: Tiny) -> None:
    """A clip of the right length is its samples by 32768, as the standard library reads them."""
    dataset = tiny.prepare()
    samples = load_samples(_rows(dataset, CLIP), dataset)
    assert samples.dtype == np.float32
    assert samples.shape == (1, 1_600)
    assert samples[0].tolist() == _heard(tiny.root / CLIP)


def test_a_short_clip_ends_in_zeros(tiny: Tiny) -> None:
    """What is missing at the end is silence."""
    write_wav(tiny.root / CLIP, 600)
    dataset = tiny.prepare()
    (samples,) = load_samples(_rows(dataset, CLIP), dataset)
    assert samples.tolist() == _heard(tiny.root / CLIP) + 1_000 * [0.0]


def test_a_long_clip_is_cut_at_its_end(tiny: Tiny) -> None:
    """What is too much at the end is left out."""
    write_wav(tiny.root / CLIP, 5_000)
    dataset = tiny.prepare()
    (samples,) = load_samples(_rows(dataset, CLIP), dataset)
    assert samples.tolist() == _heard(tiny.root / CLIP)[:1_600]


def test_silence_is_its_stretch_of_noise_times_its_gain(tiny: Tiny) -> None:
    """Start and gain of the table are applied, for every silence clip."""
    dataset = tiny.prepare()
    rows = dataset.clips.filter(pl.col("label") == "_silence_")
    for (path, gain, start), samples in zip(
        rows.select("path", "gain", "start_sample").iter_rows(), load_samples(rows, dataset), strict=True
    ):
        assert path.endswith(f".wav#{start}")
        stretch = np.array(_heard(tiny.root / audio_file(path))[start:][:1_600])
        np.testing.assert_allclose(samples, gain * stretch, rtol=1e-6)


def test_samples_lie_between_minus_one_and_one(tiny: Tiny) -> None:
    """The loudest samples that 16 bits hold are -1 and just under 1."""
    write_wav(tiny.root / CLIP, np.array([-32_768, 32_767], "<i2").tobytes())
    dataset = tiny.prepare()
    assert load_samples(_rows(dataset, CLIP), dataset)[0, :2].tolist() == [-1.0, 32_767 / 32_768]


def test_clips_come_in_the_order_of_their_rows(tiny: Tiny) -> None:
    """Any selection of rows in any order gives the samples of those rows."""
    dataset = tiny.prepare()
    whole = load_samples(dataset.clips, dataset)
    backwards = load_samples(dataset.clips.reverse(), dataset)
    assert np.array_equal(whole[::-1], backwards)
    assert load_samples(dataset.clips.head(0), dataset).shape == (0, 1_600)


@pytest.mark.parametrize("batch_size", [1, 5, 32, 100])
def test_batches_are_the_clips_in_pieces(tiny: Tiny, batch_size: int) -> None:
    """Batches have the size that was asked for, but the last, and none is lost."""
    dataset = tiny.prepare()
    parts = list(batches(dataset.clips, dataset, batch_size))
    assert [len(part) for part in parts[:-1]] == [batch_size] * (len(parts) - 1)
    assert np.array_equal(np.concatenate(parts), load_samples(dataset.clips, dataset))


def test_audio_that_is_missing_or_damaged_is_named_all_at_once(tiny: Tiny) -> None:
    """Every file that cannot be read is named, and the command that tells more."""
    dataset = tiny.prepare()
    (tiny.root / CLIP).unlink()
    (tiny.root / "no" / "00176480_nohash_0.wav").write_bytes(b"")
    write_wav(tiny.root / "yes" / "1641e121_nohash_0.wav", 100)
    with pytest.raises(InputError, match=r"3 clips cannot be read; `kwsbench data verify tiny` tells more") as caught:
        load_samples(dataset.split("train"), dataset)
    assert {problem.where for problem in caught.value.problems} == {
        CLIP,
        "no/00176480_nohash_0.wav",
        "yes/1641e121_nohash_0.wav",
    }


def test_the_state_says_what_was_prepared(tiny: Tiny) -> None:
    """Beside the table stand name and revision, the version that wrote it, and where the audio is."""
    state = json.loads((tiny.prepare().folder / "prepared.json").read_text(encoding="utf-8"))
    assert set(state) == {"audio_root", "complete", "manifest", "revision", "kwsbench_version"}
    assert (state["manifest"], state["revision"], state["complete"]) == ("tiny", 1, True)

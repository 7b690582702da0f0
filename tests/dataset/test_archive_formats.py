"""Tests of `kwsbench.dataset.archive_formats`: archives that are damaged, cut short, or none."""

from __future__ import annotations

import contextlib
import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwsbench.dataset.archive import unpack
from kwsbench.errors import InputError, KwsbenchError
from tests.dataset.conftest import CLIPS, PACKINGS, tar_bytes, written, zip_bytes

HEADER = 512
GOOD_GZ = gzip.compress(tar_bytes(*CLIPS.items(), ("noise", bytes(range(256)) * 50)), mtime=0)
GOOD_ZIP = zip_bytes(("a", bytes(range(256)) * 50))
DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "found an empty file, expected a zip or tar archive"),
    "plain text": (lambda: b"hello, world\n" * 100, "found a file that begins with b'hello, world"),
    "zeros": (lambda: bytes(10240), "found zeros"),
    "web page": (lambda: b"\n<!DOCTYPE html><html>", "found an HTML page"),
    "text in gzip": (lambda: gzip.compress(b"hello" * 1000), "found gzip data that is no tar archive"),
    "nothing in tar": (lambda: gzip.compress(bytes(10240)), "found no file in it"),
    "nothing in zip": (zip_bytes, "found no file in it"),
    "folders alone": (lambda: tar_bytes(("a/", b"")), "found no file in it"),
    "gzip without its end": (lambda: GOOD_GZ[:-1], "found its end too early"),
    "half a gzip": (lambda: GOOD_GZ[: len(GOOD_GZ) // 2], "found its end too early"),
    "wrong checksum in gzip": (lambda: GOOD_GZ[:-5] + b"\0" + GOOD_GZ[-4:], "CRC check failed"),
    "garbage in gzip": (lambda: GOOD_GZ[:10] + b"\xff" * 20 + GOOD_GZ[30:], "invalid block type"),
    "garbage in zip": (lambda: GOOD_ZIP[:31] + b"\xff" * 20 + GOOD_ZIP[51:], "invalid block type"),
    "garbage in the directory of a zip": (lambda: GOOD_ZIP.replace(b"\x01\x02", b"\x01\x03"), "found damage"),
    "tar that leads backwards": (lambda: tar_bytes(("a", b""), ("b", b""), pax={"size": "-2000"}), "found damage"),
    "half a bzip2": (lambda: PACKINGS["tar.bz2"]()[:-20], "found its end too early"),
    "half an xz": (lambda: PACKINGS["tar.xz"]()[:-20], "found its end too early"),
    "tar cut in a member": (lambda: tar_bytes(("a", bytes(5000)))[:3000], "found its end too early"),
    "tar cut in a skipped member": (lambda: tar_bytes(("._a", bytes(5000)))[:3000], "found its end too early"),
    "tar cut between members": (lambda: tar_bytes(("a", b"a"), ("b", b"b"))[: 2 * HEADER], "found its end too early"),
    "tar with a broken header": (
        lambda: tar_bytes(("a", b"a"), ("b", b"b"), ("c", b"c")).replace(b"\0b\0", b"\0!\0").replace(b"b", b"!"),
        "found damage",
    ),
    "zip without its end": (lambda: PACKINGS["zip"]()[:-10], "found damage"),
    "wrong checksum in zip": (lambda: zip_bytes(("a", b"hello"), method=0).replace(b"hello", b"hullo"), "Bad CRC-32"),
}


class TestDamage:
    @pytest.mark.parametrize("case", DAMAGED)
    def test_says_what_is_wrong(self, tmp_path: Path, old: Path, case: str) -> None:
        """What is no whole archive is an error with exit code 2 that says to fetch it again."""
        build, message = DAMAGED[case]
        with pytest.raises(InputError, match=message) as caught:
            unpack(written(tmp_path, build()), old)
        assert "fetch it again" in str(caught.value)

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.sampled_from(sorted(PACKINGS)), st.data())
    def test_never_a_traceback(self, packing: str, data: st.DataObject) -> None:
        """However an archive is damaged, it is unpacked or one of our errors says why not."""
        content = bytearray(PACKINGS[packing]())
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(content)))
            content[place : place + data.draw(st.sampled_from([0, 1, 1, 512]))] = data.draw(st.binary(max_size=4))
        with tempfile.TemporaryDirectory() as root, contextlib.suppress(KwsbenchError):
            unpack(written(Path(root), bytes(content)), Path(root) / "out")

    def test_a_missing_archive(self, tmp_path: Path, old: Path) -> None:
        """An archive that is not there is an error that names it."""
        with pytest.raises(InputError, match=r"cannot read the archive .*nowhere: No such file"):
            unpack(tmp_path / "nowhere", old)

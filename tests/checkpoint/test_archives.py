"""Tests of `kwsbench.checkpoint.archives`: honest archives, bombs, and archives that readers see differently."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kwsbench.checkpoint import archives
from kwsbench.checkpoint.archives import open_archive
from kwsbench.errors import InputError, KwsbenchError, RefusedError
from tests.checkpoint.conftest import (
    WHERE,
    Packed,
    exported_bytes,
    saved,
    small_network,
    torchscript_bytes,
    zip_bytes,
)
from tests.memory import takes_at_most

PLAIN = Packed(b"m/data.pkl", b"content")
PACKED = Packed(b"m/data/0", b"again and again and again" * 9, method=8)


def _rezipped(data: bytes, method: int) -> bytes:
    """The same archive as Python's zipfile writes it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return packed.getvalue()


@pytest.mark.parametrize("make", [torchscript_bytes, exported_bytes, lambda: saved(small_network().state_dict())])
def test_what_pytorch_writes_is_read_as_zipfile_reads_it(make: Callable[[], bytes]) -> None:
    """An honest archive gives the same names and bytes as Python's own reader."""
    data = make()
    archive = open_archive(data, WHERE)
    with zipfile.ZipFile(io.BytesIO(data)) as other:
        assert {name: archive.read(name) for name in archive.entries} == {n: other.read(n) for n in other.namelist()}
    assert archive.root.endswith("/")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_checkpoint_zipped_again_is_read(method: int) -> None:
    """An archive that somebody packed again, compressed or not, passes."""
    original = saved(small_network().state_dict())
    archive = open_archive(_rezipped(original, method), WHERE)
    assert archive.entries.keys() == open_archive(original, WHERE).entries.keys()


def test_a_descriptor_behind_an_entry_is_read_in_all_its_spellings() -> None:
    """Sizes that stand behind an entry, with four or eight bytes and with or without a mark, are passed over."""
    content = b"content"
    flags = {"flags": 8}
    for spelling in ("<3L", "<L2Q"):
        for mark in (b"", b"PK\x07\x08"):
            crc = PLAIN.stated({})["crc"]
            behind = mark + struct.pack(spelling, crc, len(content), len(content))
            hidden = {**flags, "crc": 0, "packed": 0, "size": 0}
            entry = Packed(b"m/a", content, local=hidden, central=flags, behind=behind)
            assert open_archive(zip_bytes(entry, PLAIN), WHERE).read("m/a") == content


@pytest.mark.parametrize("lie", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=["check sum", "packed size", "size"])
def test_a_descriptor_that_says_something_else_is_refused(lie: tuple[int, int, int]) -> None:
    """What stands behind an entry must repeat what the directory says, or a reader of streams sees another entry."""
    flags, content = {"flags": 8}, b"content"
    truth = (PLAIN.stated({})["crc"], len(content), len(content))
    behind = b"PK\x07\x08" + struct.pack("<3L", *(said + more for said, more in zip(truth, lie, strict=True)))
    hidden = {**flags, "crc": 0, "packed": 0, "size": 0}
    entry = Packed(b"m/a", content, local=hidden, central=flags, behind=behind)
    with pytest.raises(RefusedError, match="something is hidden"):
        open_archive(zip_bytes(entry, PLAIN), WHERE)


def test_a_size_that_stands_in_a_64_bit_field_is_refused() -> None:
    """An entry that says 0xffffffff, and its size elsewhere, is not believed either way."""
    says = {"size": 2**32 - 1, "packed": 2**32 - 1, "extra": struct.pack("<HHQQ", 0x0001, 16, 7, 7)}
    with pytest.raises(RefusedError, match="extra field of the kind 0x0001"):
        open_archive(zip_bytes(Packed(b"m/a", b"content", local=says, central=says)), WHERE)


def test_a_bomb_of_archives_in_archives_is_not_unpacked_twice() -> None:
    """An archive in an archive is bytes; nothing looks for more in it."""
    bomb = zip_bytes(Packed(b"m/data.pkl", bytes(50_000_000), method=8))
    archive = open_archive(zip_bytes(Packed(b"m/data.pkl", bomb)), WHERE)
    assert archive.read("m/data.pkl") == bomb


def test_a_root_is_what_all_entries_are_in() -> None:
    """The root is the one folder of an archive, and empty where there are two or none."""
    assert open_archive(zip_bytes(PLAIN), WHERE).root == "m/"
    assert not open_archive(zip_bytes(PLAIN, Packed(b"n/a")), WHERE).root
    assert not open_archive(zip_bytes(Packed(b"a")), WHERE).root


def test_a_folder_is_no_entry() -> None:
    """Folders, which `zip -r` lists, are passed over."""
    assert list(open_archive(zip_bytes(Packed(b"m/"), PLAIN), WHERE).entries) == ["m/data.pkl"]


def test_an_archive_that_expands_a_thousandfold_is_refused_before_it_is_unpacked() -> None:
    """98 kB that would unpack to 100 MB are refused, and not one byte of them is unpacked."""
    data = _rezipped(saved({"w": torch.zeros(25_000_000)}), zipfile.ZIP_DEFLATED)
    assert len(data) < 100_000
    says = r"bytes would unpack to 100,000,\d+, expected at most"
    with takes_at_most(1_000_000), pytest.raises(RefusedError, match=says):
        open_archive(data, WHERE)


def test_an_entry_that_understates_its_size_is_unpacked_no_further_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb whose directory says that it is small is cut off one byte beyond what it says."""
    monkeypatch.setattr(archives, "_CHUNK_BYTES", 1 << 30)
    says = {"size": 1_000}
    bomb = Packed(b"m/data.pkl", bytes(50_000_000), method=8, local=says, central=says)
    data = zip_bytes(bomb)
    with takes_at_most(1_000_000), pytest.raises(InputError, match="is damaged"):
        open_archive(data, WHERE)


def test_too_many_entries_are_refused() -> None:
    """An archive with a hundred thousand entries is refused by their number alone."""
    with pytest.raises(RefusedError, match="the archive has 20,001 entries"):
        open_archive(zip_bytes(*[Packed(b"m/a")] * 20_001), WHERE)


def test_a_total_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the file, what it unpacks to has a limit of its own."""
    monkeypatch.setattr(archives, "_MAX_UNPACKED_BYTES", 6)
    with pytest.raises(RefusedError, match="would unpack to 7, expected at most 6"):
        open_archive(zip_bytes(PLAIN), WHERE)


@pytest.mark.parametrize(
    "name",
    [b"/m/a", b"m/../a", b"../a", b"..", b"m/..", b"m/./a", b"m//a", b"m\\a", b"C:/a", b"m/a\0b", b"", b"m/\x1b[2J"],
)
def test_an_unsafe_name_is_refused(name: bytes) -> None:
    """Names that lead out of a folder, or that readers cut or print differently, are refused."""
    with pytest.raises(RefusedError, match="an entry with an unsafe name"):
        open_archive(zip_bytes(Packed(name, b"a")), WHERE)


def test_names_with_two_dots_in_them_are_fine() -> None:
    """A model whose own name has dots in it is not refused."""
    assert open_archive(zip_bytes(Packed(b"m..v2/.data/a..b")), WHERE).root == "m..v2/"


TWICE = Packed(b"m/data.pkl", b"another")
LINK = {"attributes": 0o120777 << 16}
DEVICE = {"attributes": 0o020666 << 16}
UNICODE_PATH = {"extra": struct.pack("<HHBL", 0x7075, 6, 1, 0) + b"x"}
LONG_SIZE = {"extra": struct.pack("<HHQ", 0x0001, 8, 7)}
BROKEN_EXTRA = {"extra": b"UT\xff\xff"}
LATIN = b"m/\xe9"
BAD_ARCHIVES = {
    "the same name twice": (zip_bytes(PLAIN, TWICE), "same name"),
    "the same name but for case": (zip_bytes(PLAIN, Packed(b"m/Data.pkl")), "same name"),
    "a folder of the same name": (zip_bytes(PLAIN, Packed(b"m/data.pkl/")), "same name"),
    "two entries over the same bytes": (zip_bytes(PLAIN, Packed(b"m/b", b"content", central={"offset": 0})), "overlap"),
    "an entry inside another": (
        zip_bytes(Packed(b"m/a", zip_bytes(PLAIN)), Packed(b"m/b", central={"offset": 33})),
        "overlap",
    ),
    "bytes before the first entry": (zip_bytes(PLAIN, before=b"MZ hidden"), "something is hidden"),
    "bytes between entries": (zip_bytes(Packed(b"m/a", b"a", behind=b"hidden"), PLAIN), "something is hidden"),
    "bytes before the directory": (zip_bytes(Packed(b"m/a", b"a", behind=b"hidden")), "something is hidden"),
    "an entry that is not listed": (
        zip_bytes(Packed(b"m/a", b"a", behind=zip_bytes(PLAIN)[:47]), PACKED),
        "something is hidden",
    ),
    "bytes behind the end": (zip_bytes(PLAIN, after=b"hidden"), "more in the file than the archive"),
    "a comment": (zip_bytes(PLAIN, end={"comment": 6}, after=b"hidden"), "more in the file than the archive"),
    "a comment that is not there": (zip_bytes(PLAIN, end={"comment": 6}), "several parts or a comment"),
    "a second archive behind it": (zip_bytes(PLAIN) + zip_bytes(TWICE), "not where its end says"),
    "a comment on an entry": (zip_bytes(Packed(b"m/a", central={"comment": b"c"})), "something else than entries"),
    "fewer entries than listed": (zip_bytes(PLAIN, PACKED, end={"count": 1}), "does not end where it says"),
    "more entries than listed": (zip_bytes(PLAIN, end={"count": 2}), "lists fewer"),
    "no entries": (zip_bytes(), "does not end where it says"),
    "a directory elsewhere": (zip_bytes(PLAIN, end={"start": 0}), "not where its end says"),
    "an entry without its mark": (b"PK\x03\x05" + zip_bytes(PLAIN)[4:], "not where its directory says"),
    "an encrypted entry": (zip_bytes(Packed(b"m/a", central={"flags": 1}, local={"flags": 1})), "encrypted"),
    "a link": (zip_bytes(Packed(b"m/a", b"/etc/passwd", central=LINK)), "a link or a device"),
    "a device": (zip_bytes(Packed(b"m/a", central=DEVICE)), "a link or a device"),
    "a folder with content": (zip_bytes(Packed(b"m/a/", b"hidden")), "a folder with content"),
    "another name in front": (zip_bytes(Packed(b"m/a", local={"name": b"m/b"})), "contradict"),
    "another size in front": (zip_bytes(Packed(b"m/a", b"abc", local={"size": 2})), "contradict"),
    "another packed size in front": (zip_bytes(Packed(b"m/a", b"abc", local={"packed": 2})), "contradict"),
    "another check sum in front": (zip_bytes(Packed(b"m/a", b"abc", local={"crc": 2})), "contradict"),
    "another packing in front": (zip_bytes(Packed(b"m/a", b"abc", local={"method": 8})), "contradict"),
    "other flags in front": (zip_bytes(Packed(b"m/a", b"abc", local={"flags": 2})), "contradict"),
    "another size in the directory": (zip_bytes(Packed(b"m/a", b"abc", central={"size": 2})), "two sizes"),
    "another name by an extra field": (
        zip_bytes(Packed(b"m/a", central=UNICODE_PATH)),
        "extra field of the kind 0x7075",
    ),
    "the same in front": (zip_bytes(Packed(b"m/a", local=UNICODE_PATH)), "extra field of the kind 0x7075"),
    "another size by an extra field": (zip_bytes(Packed(b"m/a", central=LONG_SIZE)), "kind 0x0001"),
    "an extra field that ends too late": (zip_bytes(Packed(b"m/a", central=BROKEN_EXTRA)), "kind 0x5455"),
    "a name in no encoding": (zip_bytes(Packed(LATIN)), "is no text"),
    "a name in a broken encoding": (
        zip_bytes(Packed(LATIN, central={"flags": 0x800}, local={"flags": 0x800})),
        "is no text",
    ),
}


@pytest.mark.parametrize("kind", BAD_ARCHIVES)
def test_an_archive_that_readers_see_differently_is_refused(kind: str) -> None:
    """Whatever is hidden, twice there or contradicts itself is refused, and the message says what it is."""
    data, says = BAD_ARCHIVES[kind]
    with pytest.raises(RefusedError, match=says):
        open_archive(data, WHERE)


@pytest.mark.parametrize("method", [9, 12, 14, 99])
def test_other_packings_are_not_read(method: int) -> None:
    """bzip2, LZMA, Deflate64 and AES are not unpacked, however small the entry says it is."""
    with pytest.raises(InputError, match="neither stored nor deflated"):
        open_archive(zip_bytes(Packed(b"m/a", method=method)), WHERE)


@pytest.mark.parametrize("packed", [b"", b"\x03\x00\x03\x00", b"\xff", b"\x03\x00 and more"])
def test_a_compressed_entry_is_one_stream_and_nothing_else(packed: bytes) -> None:
    """A stream that has no end, or something behind it, is damage."""
    says = {"method": 8, "size": 0, "crc": 0}
    with pytest.raises(InputError, match="is damaged"):
        open_archive(zip_bytes(Packed(b"m/a", packed, local=says, central=says)), WHERE)


def test_an_empty_entry_may_be_compressed() -> None:
    """The shortest stream there is gives an empty entry."""
    assert open_archive(zip_bytes(Packed(b"m/a", b"", method=8)), WHERE).read("m/a") == b""


def test_the_two_ends_of_an_archive_have_to_agree() -> None:
    """PyTorch writes a second, 64-bit end; one that says something else than the first is refused."""
    data = saved({"w": torch.zeros(2)})
    for place in range(len(data) - 98, len(data) - 22):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        version = place - (len(data) - 98) in range(12, 16)  # which versions of zip made it and can read it
        if version:
            open_archive(changed, WHERE)
        else:
            with pytest.raises(KwsbenchError):
                open_archive(changed, WHERE)


@pytest.mark.parametrize("place", range(0, 16, 5))
def test_a_changed_number_is_damage(place: int) -> None:
    """PyTorch does not look at check sums; here a weight that is not what was written is found."""
    data = saved({"w": torch.arange(4.0)})
    start = data.index(torch.arange(4.0).numpy().tobytes())
    changed = data[: start + place] + bytes([data[start + place] ^ 64]) + data[start + place + 1 :]
    with pytest.raises(InputError, match=r"is damaged: archive/data/0 in it is not what was written"):
        open_archive(changed, Path("x.pt"))


def test_every_shortened_archive_is_cut_off() -> None:
    """An archive that ends too early says so, wherever it ends."""
    data = saved({"w": torch.zeros(2)})
    for size in range(len(data)):
        with pytest.raises(KwsbenchError, match=r"is cut off|refused"):
            open_archive(data[:size], WHERE)

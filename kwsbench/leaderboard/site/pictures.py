"""Pictures of reports: what their first bytes say they are, and how large they claim to be when shown."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from kwsbench.errors import InputError
from kwsbench.submission.folder import MAX_PICTURE_BYTES, is_picture, read_regular

MOST_PIXELS = 25_000_000
"""Most pixels of a picture: a small file can unpack to more than a browser holds."""

_SUFFIXES = {"png": (".png",), "jpeg": (".jpg", ".jpeg"), "webp": (".webp",)}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xDA)})
_NO_FRAMES = frozenset({0xC4, 0xC8, 0xCC})


@dataclass(frozen=True)
class Picture:
    """A picture that may be shown.

    Attributes:
        name: Its name in the folder of the entry, with forward slashes.
        content: Its bytes.
        width: In pixels.
        height: In pixels.
    """

    name: str
    content: bytes
    width: int
    height: int


def read_picture(folder: Path, name: str) -> Picture:
    """Reads a picture from the folder of an entry.

    Raises:
        InputError: It is not there, no picture by its name or its content, or too large; the message is a reason that
            can stand in brackets.
    """
    if not is_picture(name):
        raise InputError("not a picture in the folder of the entry")
    content = read_regular(folder / name, MAX_PICTURE_BYTES)
    kind, size = kind_and_size(content)
    if not name.lower().endswith(_SUFFIXES.get(kind, ())):
        raise InputError("its content is not what its name says")
    width, height = size
    if not 0 < width * height <= MOST_PIXELS:
        raise InputError(f"it has {width:,} x {height:,} pixels")
    return Picture(name, content, width, height)


def kind_and_size(content: bytes) -> tuple[str, tuple[int, int]]:
    """Returns `png`, `jpeg`, `webp` or nothing, and width and height as the header states them; 0 where it does not."""
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
            return "png", struct.unpack(">II", content[16:24])
        if content.startswith(b"\xff\xd8\xff"):
            return "jpeg", _jpeg_size(content)
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return "webp", _webp_size(content)
    except (struct.error, IndexError):
        return "", (0, 0)
    return "", (0, 0)


def _jpeg_size(content: bytes) -> tuple[int, int]:
    at = 2
    while content[at] == 0xFF:
        marker = content[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 if marker in _WITHOUT_LENGTH else 2 + max(2, struct.unpack(">H", content[at + 2 : at + 4])[0])
    return 0, 0


def _webp_size(content: bytes) -> tuple[int, int]:
    form = content[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if form == b"VP8L":
        (bits,) = struct.unpack("<I", content[21:25])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if form == b"VP8 ":
        width, height = struct.unpack("<HH", content[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0

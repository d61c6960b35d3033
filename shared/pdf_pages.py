"""Counts the pages of a PDF, which bound its tokens. A PDF that could hide pages is refused."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Final

MAX_PAGES: Final = 100
_PAGE = re.compile(rb"/Type[\s\x00]*/Page(?![A-Za-z])")
# A comment or a reference to another object: what the type is cannot be seen.
_HIDDEN_TYPE = re.compile(rb"/Type[\s\x00]*(?:%|[0-9]{1,10}[\s\x00]+[0-9]{1,10}[\s\x00]+R)")
_ESCAPED_NAME = re.compile(rb"/(?=[A-Za-z]{0,6}#)[A-Za-z0-9#]{4,18}")
_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
_COUNTED_NAMES: Final = (b"/Type", b"/Page", b"/ObjStm")
_FILTER = re.compile(rb"/\w*Decode\b")
_MAX_STREAMS: Final = 200
_MAX_INFLATED: Final = 16 * 1024 * 1024
_MAX_DICTIONARY: Final = 1_000
_UNKNOWN: Final = "the pages of the PDF cannot be counted"


def page_count(data: bytes) -> int:
    """The number of pages of a PDF. Raises ValueError when it cannot be known, and over MAX_PAGES."""
    if not data.startswith(b"%PDF-"):
        raise ValueError("the file is not a PDF")
    pages = _pages_in(data) + sum(_pages_in(each) for each in _object_streams(data))
    if not pages:
        raise ValueError("the PDF has no pages that can be read; it may be encrypted")
    if pages > MAX_PAGES:
        raise ValueError(f"a PDF may have at most {MAX_PAGES} pages")
    return pages


def _pages_in(data: bytes) -> int:
    """The pages in uncompressed bytes. Raises ValueError when names or types are written so that they do not show."""
    if _HIDDEN_TYPE.search(data):
        raise ValueError(_UNKNOWN)
    for found in _ESCAPED_NAME.finditer(data):
        if _ESCAPE.sub(lambda code: bytes([int(code[1], 16)]), found[0]) in _COUNTED_NAMES:
            raise ValueError(_UNKNOWN)
    return len(_PAGE.findall(data))


def _object_streams(data: bytes) -> Iterator[bytes]:
    """The inflated object streams, which may contain pages. Raises ValueError for one that cannot be read.

    They are at most _MAX_STREAMS, and have at most _MAX_INFLATED bytes in all.
    """
    left, place, count = _MAX_INFLATED, data.find(b"/ObjStm"), 0
    while place >= 0:
        start = data.find(b"stream", place, place + _MAX_DICTIONARY)
        count += 1
        if start < 0 or count > _MAX_STREAMS:
            raise ValueError(_UNKNOWN)
        end = data.find(b"endstream", start)
        end = len(data) if end < 0 else end
        inflated = _inflated(_dictionary(data, place, start), data[start + len(b"stream") : end].lstrip(b"\r\n"), left)
        left -= len(inflated)
        if left <= 0:
            raise ValueError("the PDF is too large when it is unpacked")
        yield inflated
        place = data.find(b"/ObjStm", end)


def _dictionary(data: bytes, place: int, start: int) -> bytes:
    """The dictionary around `place`, which describes the stream at `start`."""
    first = max(place - _MAX_DICTIONARY, 0)
    return data[max(data.rfind(b" obj", first, place), first) : start]


def _inflated(dictionary: bytes, packed: bytes, max_bytes: int) -> bytes:
    """The bytes of a stream, at most `max_bytes`; none for a stream that is not packed, whose pages are counted.

    Raises ValueError for another filter, and for a broken stream.
    """
    if _FILTER.findall(dictionary) not in ([], [b"/FlateDecode"]) or b"/Predictor" in dictionary:
        raise ValueError(_UNKNOWN)
    unpacking = zlib.decompressobj()
    try:
        inflated = unpacking.decompress(packed, max_bytes)
    except zlib.error:
        if b"/Filter" not in dictionary:
            return b""
        raise ValueError(_UNKNOWN) from None
    if not unpacking.eof and len(inflated) < max_bytes:
        raise ValueError(_UNKNOWN)
    return inflated

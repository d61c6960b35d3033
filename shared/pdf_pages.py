"""Counts the pages of a PDF, which bound its tokens."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final

MAX_PAGES: Final = 100
_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_STREAM = re.compile(rb"/ObjStm\b.{0,400}?stream\r?\n", re.DOTALL)
_MAX_STREAMS: Final = 200
_MAX_INFLATED: Final = 16 * 1024 * 1024


def page_count(data: bytes) -> int:
    """The number of pages of a PDF. Raises ValueError when it cannot be known, and over MAX_PAGES."""
    if not data.startswith(b"%PDF-"):
        raise ValueError("the file is not a PDF")
    pages = len(_PAGE.findall(data)) + sum(len(_PAGE.findall(each)) for each in _object_streams(data))
    if not pages:
        raise ValueError("the PDF has no pages that can be read; it may be encrypted")
    if pages > MAX_PAGES:
        raise ValueError(f"a PDF may have at most {MAX_PAGES} pages")
    return pages


def _object_streams(data: bytes) -> Iterator[bytes]:
    """The inflated object streams, which may contain pages; at most _MAX_INFLATED bytes in all."""
    left = _MAX_INFLATED
    for found in islice(_STREAM.finditer(data), _MAX_STREAMS):
        end = data.find(b"endstream", found.end())
        try:
            inflated = zlib.decompressobj().decompress(data[found.end() : end], left)
        except zlib.error:
            continue
        left -= len(inflated)
        if left <= 0:
            raise ValueError("the PDF is too large when it is unpacked")
        yield inflated

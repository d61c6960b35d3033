"""PDFs that clients send as base64; addresses are not fetched."""

from __future__ import annotations

import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from itertools import islice
from typing import Final

from shared.messages import Document

MAX_PAGES: Final = 100
_DATA_URL = re.compile(r"data:application/pdf(?:;[\w.=-]+)*;base64,(.*)", re.IGNORECASE | re.DOTALL)
_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_STREAM = re.compile(rb"/ObjStm\b.{0,400}?stream\r?\n", re.DOTALL)
_MAX_STREAMS: Final = 200
_MAX_INFLATED: Final = 16 * 1024 * 1024


def document_in(url: str, name: str | None) -> Document:
    """The PDF of a data: URL, with padded base64. Raises ValueError for another URL, and for what is no PDF."""
    found = _DATA_URL.fullmatch(url)
    if not found:
        raise ValueError("send the PDF itself, as data:application/pdf;base64,…")
    data = decoded(found[1])
    return Document(b64encode(data).decode(), name or "document.pdf", page_count(data))


def decoded(text: str) -> bytes:
    """The bytes of base64 with or without white space and padding. Raises ValueError."""
    text = "".join(text.split()).rstrip("=")
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


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

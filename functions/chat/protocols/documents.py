"""PDFs that clients send as base64; addresses are not fetched."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode

from shared.messages import Document
from shared.pdf_pages import page_count

_DATA_URL = re.compile(r"data:application/pdf(?:;[\w.=-]+)*;base64,(.*)", re.IGNORECASE | re.DOTALL)


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

"""The pages of a PDF, which bound its tokens."""

from __future__ import annotations

import zlib
from base64 import a85encode

import pytest

from shared.pdf_pages import page_count

_SHOWN = b"%PDF-1.7\n1 0 obj << /Type /Page >> endobj\n"
_HIDDEN = b"<< /Type /Page >> << /Type/Page >>"


def _stream(packed: bytes, entries: bytes = b"/Filter /FlateDecode") -> bytes:
    return b"2 0 obj << /Type /ObjStm %s >> stream\n%s\nendstream endobj\n" % (entries, packed)


@pytest.mark.parametrize(
    ("data", "pages"),
    [
        (_SHOWN + _HIDDEN, 3),
        (_SHOWN + _stream(zlib.compress(_HIDDEN)), 3),
        (_SHOWN + _stream(_HIDDEN, b""), 3),
        (_SHOWN + b"<< /Type\n/Page /Parent 1 0 R >> << /Type\x00/Page >>", 3),
        (_SHOWN + b"<< /Type /Pages >> << /Type /Pagination >> << /BaseFont /A#20B >>", 1),
    ],
    ids=["plain", "packed", "not packed", "white space", "other names"],
)
def test_pages_are_counted(data: bytes, pages: int) -> None:
    """Pages count wherever a reader finds them."""
    assert page_count(data) == pages


@pytest.mark.parametrize(
    "hidden",
    [
        b"<< /Type /P#61ge >>",
        b"<< /#54ype /Page >>",
        b"<< /Type % comment\n/Page >>",
        b"3 0 obj /Page endobj << /Type 3 0 R >>",
        _stream(zlib.compress(b"<< /Type /Pag#65 >>")),
        _stream(zlib.compress(_HIDDEN)).replace(b"/ObjStm", b"/Obj#53tm"),
        _stream(a85encode(zlib.compress(_HIDDEN)), b"/Filter [/ASCII85Decode /FlateDecode]"),
        _stream(a85encode(_HIDDEN), b"/Filter /ASCII85Decode"),
        _stream(zlib.compress(zlib.compress(_HIDDEN)), b"/Filter [/FlateDecode /FlateDecode]"),
        _stream(zlib.compress(_HIDDEN), b"/Filter /FlateDecode /DecodeParms << /Predictor 12 >>"),
        _stream(zlib.compress(_HIDDEN)[:-9]),
        _stream(b"encrypted"),
        _stream(zlib.compress(_HIDDEN), b"/Filter /FlateDecode /X (%s)" % (b"x" * 2000)),
        _stream(zlib.compress(b"x")) * 201 + _stream(zlib.compress(_HIDDEN)),
    ],
    ids=[
        "page",
        "type",
        "comment",
        "reference",
        "packed name",
        "stream",
        "two filters",
        "filter",
        "twice",
        "predictor",
        "cut",
        "not packed",
        "long",
        "many",
    ],
)
def test_a_pdf_that_hides_pages_is_refused(hidden: bytes) -> None:
    """Names with escapes, and object streams that cannot be read, may hide pages behind one that is shown."""
    with pytest.raises(ValueError, match="cannot be counted"):
        page_count(_SHOWN + hidden)

"""The files of a question as models get them."""

from __future__ import annotations

from base64 import b64encode

import pytest

from shared.files import File, NotSent, message_with, stored_file
from shared.messages import Document, Image

_TEXT = File("text/plain", b64encode(b"one,two").decode(), "a.csv")


def test_files_precede_the_text() -> None:
    """An image and a PDF are parts; a text is words with its name."""
    files = (File("image/png", "AAAA"), File("application/pdf", "BBBB", "r.pdf", 3), _TEXT)
    message = message_with(files, "What is it?")
    assert message.parts == (
        Image("image/png", "AAAA"),
        Document("BBBB", "r.pdf", 3),
        "[File: a.csv]\none,two",
        "What is it?",
    )
    assert message.content == "[File: a.csv]\none,two\n\nWhat is it?"


def test_a_message_of_words_has_no_parts() -> None:
    """Texts, and notes for files that are not sent again, become the content."""
    message = message_with((NotSent("image/png", "cat.png"), NotSent("application/pdf"), _TEXT), "")
    assert message.parts == ()
    assert message.content == (
        "[An earlier image that is not sent again: cat.png]\n\n"
        "[An earlier file that is not sent again]\n\n[File: a.csv]\none,two"
    )


@pytest.mark.parametrize(("pages", "is_sent"), [(3, True), (4, True), (2, False)])
def test_a_stored_pdf_has_no_more_pages_than_were_reserved(pages: int, *, is_sent: bool) -> None:
    """A PDF with more pages than its row says is not sent."""
    data = b64encode(b"%PDF-1.4\n" + b"<< /Type /Page >>\n" * 3).decode()
    fields = {"media_type": "application/pdf", "data": data, "name": "r.pdf", "pages": pages}
    file = File("application/pdf", data, "r.pdf", pages)
    assert stored_file(fields) == (file if is_sent else NotSent("application/pdf", "r.pdf"))


def test_a_stored_file_that_is_no_pdf_is_not_sent_as_one() -> None:
    """Bytes whose pages cannot be counted have no bound."""
    fields = {"media_type": "application/pdf", "data": b64encode(b"no PDF").decode(), "pages": 1}
    assert stored_file(fields) == NotSent("application/pdf")


def test_a_text_grows_by_no_byte() -> None:
    """Bytes that are not UTF-8 are left out: each one replaced would be three bytes of text."""
    broken = File("text/plain", b64encode(b"\xff" * 90 + b"a\xfe").decode(), "a")
    assert message_with((broken,), "").content == "[File: a]\na"

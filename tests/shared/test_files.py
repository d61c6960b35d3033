"""The files of a question as models get them."""

from __future__ import annotations

from base64 import b64encode

from shared.files import File, NotSent, message_with
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

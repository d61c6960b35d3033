"""The file parts of a question: what is read, and what is refused."""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import Any

import pytest

from functions.chat.file_parts import files_in

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)
_PAGES = b"<< /Type /Pages /Count 2 >> << /Type /Page >> <</Type/Page>>"


def _part(media_type: str, data: bytes, **fields: Any) -> dict[str, Any]:
    url = f"data:{media_type};base64,{b64encode(data).decode()}"
    return {"type": "file", "mediaType": media_type, "url": url} | fields


def _read(part: dict[str, Any]) -> dict[str, Any]:
    (found,) = files_in([{"type": "text", "text": "Hi"}, part])
    return found


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("image/png", PNG),
        ("image/jpeg", b"\xff\xd8\xff" + bytes(30)),
        ("image/gif", b"GIF89a" + bytes(30)),
        ("image/webp", b"RIFF\n\r\x00\x00WEBP" + bytes(30)),
    ],
)
def test_an_image_is_taken_as_it_is(media_type: str, data: bytes) -> None:
    """Its first bytes show its type; the name comes without characters that could mislead."""
    name = "a/\u202ecat\x00.png"
    assert _read(_part(media_type, data, filename=name)) == {
        "media_type": media_type,
        "data": b64encode(data).decode(),
        "name": "acat.png",
    }


def test_every_text_is_plain_text() -> None:
    """JSON, code and CSV are text in UTF-8, without a byte order mark."""
    for media_type in ("text/markdown", "text/html", "application/json", "application/vnd.api+json"):
        found = _read(_part(media_type, b"\xef\xbb\xbfHello"))
        assert found == {"media_type": "text/plain", "data": b64encode(b"Hello").decode()}
    assert _read({"type": "file", "url": "data:text/plain,a%20b"})["data"] == b64encode(b"a b").decode()
    assert _read({"type": "file", "mediaType": "text/csv", "url": "data:;base64,YSxi"})["media_type"] == "text/plain"


def test_the_pages_of_a_pdf_are_counted() -> None:
    """Pages are found in plain objects and in compressed ones."""
    packed = b"%PDF-1.7\n<< /Type /ObjStm /N 3 >>\nstream\r\n" + zlib.compress(_PAGES) + b"\nendstream"
    for data in (b"%PDF-1.4\n" + _PAGES, packed):
        found = _read(_part("application/pdf", data, filename="report.pdf"))
        assert (found["media_type"], found["pages"], found["name"]) == ("application/pdf", 2, "report.pdf")


def test_a_stored_file_is_named_by_its_id() -> None:
    """The url of ui_messages refers to a file that the database has."""
    url = "urn:uuid:AAAAAAAA-0000-4000-8000-000000000000"
    assert _read({"type": "file", "mediaType": "image/png", "url": url}) == {"id": url[9:].lower()}


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"type": "file", "url": "https://example.com/cat.png"}, "addresses are not fetched"),
        ({"type": "file", "url": 5}, "is a string"),
        ({"type": "file"}, "is a string"),
        (_part("image/png", b"GIF89a"), "not an image of the type png"),
        (_part("image/svg+xml", b"<svg/>"), "send the image itself"),
        ({"type": "file", "url": "data:image/png;base64,#"}, "send the image itself"),
        (_part("application/zip", b"PK"), "neither an image"),
        (_part("text/plain", b""), "empty"),
        (_part("text/plain", b"\xff\xfe"), "UTF-8"),
        (_part("text/plain", b"a\x00b"), "no text"),
        (_part("application/pdf", b"%PDF-1.4 encrypted"), "no pages"),
        (_part("application/pdf", b"<html>"), "not a PDF"),
        (_part("application/pdf", b"%PDF-1.4" + b"/Type /Page " * 101), "at most 100 pages"),
    ],
)
def test_what_no_model_could_read_is_refused(part: dict[str, Any], reason: str) -> None:
    """The reason names the part."""
    with pytest.raises(ValueError, match=rf"^3\.parts\.0: .*{reason}"):
        files_in([part], "3")


def test_a_pdf_that_unpacks_to_a_bomb_is_refused() -> None:
    """The unpacked bytes are bounded, however many streams there are."""
    stream = b"/ObjStm\nstream\n" + zlib.compress(bytes(1024 * 1024)) + b"endstream\n"
    with pytest.raises(ValueError, match="too large"):
        _read(_part("application/pdf", b"%PDF-1.7\n" + stream * 20))


def test_a_question_has_at_most_sixteen_files() -> None:
    """The seventeenth is refused."""
    part = _part("text/plain", b"a")
    assert len(files_in([part] * 16)) == 16
    with pytest.raises(ValueError, match="at most 16"):
        files_in([part] * 17)

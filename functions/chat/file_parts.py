"""Reads the file parts of a question: data URLs of images, PDFs and texts, and references to stored files."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from functions.chat.protocols.conversation import MAX_IMAGES
from functions.chat.protocols.documents import decoded
from functions.chat.protocols.images import image_in
from shared.files import PDF, TEXT
from shared.pdf_pages import page_count

_MAX_NAME: Final = 200
_REFERENCE = re.compile(r"urn:uuid:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.=+-]+)*?)(;base64)?,(.*)", re.IGNORECASE | re.DOTALL)
_TEXT_TYPES = re.compile(
    r"text/.*|application/(json|xml|yaml|x-yaml|toml|csv|sql|javascript|typescript|x-sh|x-python|.*\+(json|xml))"
)
_FIRST_BYTES: Final = {"png": rb"\x89PNG", "jpeg": rb"\xff\xd8\xff", "gif": rb"GIF8", "webp": rb"RIFF....WEBP"}
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff/\\]")


def is_file(part: dict[str, Any]) -> bool:
    """Whether a part of a UI message is a file."""
    return part.get("type") == "file"


def files_in(parts: Iterable[dict[str, Any]], place: str = "") -> tuple[dict[str, Any], ...]:
    """The files among the parts, as the ledger takes them.

    Raises ValueError, which names the part in the message at `place`, for what cannot be read, and for too many files.
    """
    found = []
    for number, part in enumerate(parts):
        if is_file(part):
            try:
                found.append(_file(part))
            except ValueError as error:
                raise ValueError(f"{place}.parts.{number}: {error}") from None
    if len(found) > MAX_IMAGES:
        raise ValueError(f"{place}.parts: at most {MAX_IMAGES} files")
    return tuple(found)


def _file(part: dict[str, Any]) -> dict[str, Any]:
    url, name = part.get("url"), part.get("filename")
    if not isinstance(url, str):
        raise ValueError("the url of a file is a string")  # noqa: TRY004 - pydantic reads it
    named = {"name": clean} if isinstance(name, str) and (clean := _ODD.sub("", name).strip()[:_MAX_NAME]) else {}
    if stored := _REFERENCE.fullmatch(url):
        return {"id": stored[1].lower()} | named
    found = _DATA_URL.fullmatch(url)
    if not found:
        raise ValueError("send the file itself, as a data: URL; addresses are not fetched")
    media_type = (found[1] or str(part.get("mediaType", ""))).lower()
    if media_type.startswith("image/"):
        return _image(url) | named
    data = _bytes_of(found[4], is_base64=bool(found[3]))
    if media_type == PDF:
        return {"media_type": PDF, "data": b64encode(data).decode(), "pages": page_count(data)} | named
    if _TEXT_TYPES.fullmatch(media_type):
        return {"media_type": TEXT, "data": b64encode(_utf8(data)).decode()} | named
    raise ValueError("the file is neither an image (png, jpeg, gif, webp), a PDF nor text")


def _image(url: str) -> dict[str, Any]:
    image = image_in(url)
    kind = image.media_type.removeprefix("image/")
    if not re.match(_FIRST_BYTES[kind], b64decode(image.data[:24]), re.DOTALL):
        raise ValueError(f"the file is not an image of the type {kind}")
    return {"media_type": image.media_type, "data": image.data}


def _bytes_of(text: str, *, is_base64: bool) -> bytes:
    """The bytes of a data: URL; never none. Raises ValueError."""
    data = decoded(text) if is_base64 else unquote_to_bytes(text)
    if not data:
        raise ValueError("the file is empty")
    return data


def _utf8(data: bytes) -> bytes:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("a text file is in UTF-8") from None
    if "\x00" in text or not text.strip():
        raise ValueError("the file is no text")
    return text.encode()

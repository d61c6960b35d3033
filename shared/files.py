"""The files of a question, as models get them: images and PDFs themselves, and texts as text."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.messages import Document, Image, Message, Part

PDF: Final = "application/pdf"
TEXT: Final = "text/plain"


@dataclass(frozen=True, slots=True)
class File:
    """A file: `data` is base64, `pages` is set for a PDF."""

    media_type: str
    data: str
    name: str | None = None
    pages: int | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """A file of an earlier question that is not sent again: it exceeds the budget, is deleted, or had no answer."""

    media_type: str
    name: str | None = None


def stored_file(fields: Mapping[str, Any]) -> File:
    """The file of its fields in the database's JSON."""
    return File(fields["media_type"], fields["data"], fields.get("name"), fields.get("pages"))


def message_with(files: Iterable[File | NotSent], text: str) -> Message:
    """A user's message: its files, then its text. With texts and notes only, it has no parts."""
    parts = (*map(_part, files), *((text,) if text.strip() else ()))
    content = "\n\n".join(part for part in parts if isinstance(part, str))
    return Message("user", content, parts=() if all(isinstance(part, str) for part in parts) else parts)


def _part(file: File | NotSent) -> Part:
    if isinstance(file, NotSent):
        kind = "image" if file.media_type.startswith("image/") else "file"
        return f"[An earlier {kind} that is not sent again{f': {file.name}' if file.name else ''}]"
    if file.media_type == PDF:
        return Document(file.data, file.name or "document.pdf", file.pages or 1)
    if file.media_type == TEXT:
        return f"[File: {file.name or 'text'}]\n{b64decode(file.data).decode(errors='replace')}"
    return Image(file.media_type, file.data)

"""The files of a question, as models get them: images and PDFs themselves, and texts as text."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.messages import Document, Image, Message, Part
from shared.pdf_pages import page_count

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
    """A file that is not sent: it exceeds the budget, is deleted, had no answer, or has more pages than it says."""

    media_type: str
    name: str | None = None


def file_of(fields: Mapping[str, Any]) -> File:
    """The file of its fields, which the request's reader made."""
    return File(fields["media_type"], fields["data"], fields.get("name"), fields.get("pages"))


def stored_file(fields: Mapping[str, Any]) -> File | NotSent:
    """The file of its fields in the database's JSON.

    A user may call `chat_begin` without chat. A PDF with more pages than were reserved is therefore not sent.
    """
    file = file_of(fields)
    return file if file.media_type != PDF or _is_within(file) else NotSent(file.media_type, file.name)


def _is_within(file: File) -> bool:
    """Whether a PDF has no more pages than it says."""
    try:
        return page_count(b64decode(file.data)) <= (file.pages or 0)
    except ValueError:
        return False


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
        # Ignored, not replaced: a replacement would take more bytes than were reserved.
        return f"[File: {file.name or 'text'}]\n{b64decode(file.data).decode(errors='ignore')}"
    return Image(file.media_type, file.data)

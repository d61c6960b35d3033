"""Questions with files, as the AI SDK sends them."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from typing import Any

import httpx

from tests.fakes.providers import Upstream
from tests.stack.people import Person
from tests.stack.regenerations import body_of


def png(seed: str = "") -> bytes:
    """A picture of one pixel; each seed gives other bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    note = chunk(b"tEXt", b"Comment\0" + seed.encode())
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + note
        + chunk(b"IDAT", zlib.compress(bytes(4)))
        + chunk(b"IEND", b"")
    )


def pdf(text: str = "Hello") -> bytes:
    """A PDF of one page, as far as its pages are counted."""
    return b"%PDF-1.4\n1 0 obj << /Type /Page >> endobj\n% " + text.encode() + b"\n%%EOF"


def file_part(data: bytes, media_type: str = "image/png", name: str = "a.png") -> dict[str, Any]:
    """A file part with its bytes."""
    url = f"data:{media_type};base64,{b64encode(data).decode()}"
    return {"type": "file", "mediaType": media_type, "filename": name, "url": url}


def body_with(chat_id: str, model: str, text: str, *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A question with files, as `useChat` sends it."""
    body = body_of(chat_id, model, text, **fields)
    body["messages"][0]["parts"] = [*parts, {"type": "text", "text": text}]
    return body


def ask_with(
    person: Person, url: str, chat_id: str, model: str, text: str, *parts: dict[str, Any], **fields: Any
) -> httpx.Response:
    """The response to it."""
    return person.ask(body_with(chat_id, model, text, *parts, **fields), url)


def sent_images(upstream: Upstream, identifier: str) -> list[list[str]]:
    """The base64 of the images of each user message in the last prompt at an OpenAI-compatible host."""
    prompt = upstream.calls_of(identifier.rpartition(":")[2])[-1].body["messages"]
    contents = [message["content"] for message in prompt if message["role"] == "user"]
    return [
        [part["image_url"]["url"].rpartition(",")[2] for part in content if part["type"] == "image_url"]
        if isinstance(content, list)
        else []
        for content in contents
    ]


def sent_text(upstream: Upstream, identifier: str) -> str:
    """The last prompt as JSON."""
    return json.dumps(upstream.calls_of(identifier.rpartition(":")[2])[-1].body, ensure_ascii=False)

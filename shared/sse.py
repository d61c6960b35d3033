"""Server-sent events: bytes to data payloads and values to frames, without any network."""

from __future__ import annotations

import codecs
import json
import secrets
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring
from typing import Any, Final

_MAX_NOISE_BYTES: Final = 1024 * 1024  # pings of a day
PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"
_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_MARK: Final = secrets.token_hex(16)  # no other text in a frame is equal to it


class SseDecoder:
    """Converts bytes, as they arrive, to the data of each complete event.

    Lines end at LF or CRLF only. Splitting as `str.splitlines` does would break JSON at U+2028 inside strings,
    and would break UTF-8 that two reads cut in half. A body that begins as JSON is one event, given at its end.
    Comments and empty lines of a stream have a limit together.
    """

    def __init__(self, max_event_bytes: int = 4 * 1024 * 1024) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._size = 0  # of the lines in _data, each with its line end
        self._max = max_event_bytes
        self._noise = 0  # bytes of comments, empty lines and unknown fields
        self._has_begun = self._is_json = False

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Data of the events that `chunk` completes. Raises ValueError on an event over the size limit or not UTF-8."""
        if not self._has_begun:
            chunk = self._begun(chunk)
        if self._is_json:
            self._data.append(chunk)
            self._size += len(chunk)
            if self._size > self._max:
                raise ValueError("event too large")
            return
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        if len(self._buffer) + self._size > self._max:
            raise ValueError("event too large")
        for line in lines:
            bare = line[:-1] if line.endswith(b"\r") else line
            if bare.startswith(b"data:"):
                self._data.append(bare[6:] if bare.startswith(b"data: ") else bare[5:])
                self._size += len(bare)
            elif not bare and self._data:
                data, self._data, self._size = b"\n".join(self._data), [], 0
                yield data.decode()
            else:
                self._noise += len(line) + 1
                if self._noise > _MAX_NOISE_BYTES:
                    raise ValueError("more comments than content")

    def rest(self) -> Iterator[str]:
        """Data of the last event, when the stream ended without its blank line. Raises ValueError as `feed` does."""
        if self._is_json:
            yield b"".join(self._data).decode()
        else:
            yield from self.feed(b"\n\n")

    def _begun(self, chunk: bytes) -> bytes:
        """The first chunk without a byte-order mark and blanks before JSON."""
        chunk = chunk.removeprefix(codecs.BOM_UTF8)
        self._has_begun = bool(chunk.strip())
        self._is_json = chunk.lstrip()[:1] in {b"{", b"["}
        return chunk


def frame(value: Any) -> bytes:
    """One event of one JSON line; newlines in strings are escaped by JSON, so text can never become a frame."""
    return b"data: " + _json(value).encode("utf-8", "replace") + b"\n\n"


def named_frame(name: str, value: Any) -> bytes:
    """One event with a name."""
    return b"event: " + name.encode() + b"\n" + frame(value)


class FrameTemplate:
    """Frames that differ in one text only: the JSON around it is encoded once.

    `frame_of` makes such a frame; it must be free of effects.
    """

    def __init__(self, frame_of: Callable[[str], bytes]) -> None:
        self._head, self._tail = frame_of(_MARK).split(f'"{_MARK}"'.encode())

    def frame(self, text: str) -> bytes:
        """The frame with this text."""
        return self._head + encode_basestring(text).encode("utf-8", "replace") + self._tail

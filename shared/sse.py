"""Server-sent events: bytes to data payloads and values to frames, without any network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"


class SseDecoder:
    """Converts bytes, as they arrive, to the data of each complete event.

    Lines end at LF or CRLF only. Splitting as `str.splitlines` does would break JSON at U+2028 inside strings,
    and would break UTF-8 that two reads cut in half.
    """

    def __init__(self, max_event_bytes: int = 4 * 1024 * 1024) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._size = 0  # of the lines in _data, each with its line end
        self._max = max_event_bytes

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Data of the events that `chunk` completes. Raises ValueError on an event over the size limit or not UTF-8."""
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


def frame(value: Any) -> bytes:
    """One event of one JSON line; newlines in strings are escaped by JSON, so text can never become a frame."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n\n"

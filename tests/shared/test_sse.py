"""Server-sent events: encoding and decoding."""

from __future__ import annotations

import json
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sse import DONE, PING, FrameTemplate, SseDecoder, frame

TRICKY = [
    "two\nlines",
    "carriage\rreturn",
    "carriage\r\nreturn and newline",
    "line\u2028separator\u2029paragraph\x85next",
    "emoji \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "nul\x00byte",
    "data: [DONE]\n\n",
    "\n\ndata: {}\n\nevent: error\n\n",
    ": ping\n\n",
    "",
    "\ufeffbyte order mark",
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def decoded(raw: bytes, cuts: list[int] | None = None) -> list[str]:
    """Data of all events in `raw`, fed in pieces that end at `cuts`."""
    decoder, found = SseDecoder(), list[str]()
    edges = [0, *sorted({min(cut, len(raw)) for cut in cuts or []}), len(raw)]
    for start, end in pairwise(edges):
        found.extend(decoder.feed(raw[start:end]))
    return found


@given(json_values)
def test_a_frame_is_exactly_one_event_of_one_line(value: object) -> None:
    """The frame of any value is one event with the same value."""
    raw = frame(value)
    assert raw.count(b"\n") == 2
    assert b"\r" not in raw
    assert [json.loads(data) for data in decoded(raw)] == [value]


@pytest.mark.parametrize("text", TRICKY)
def test_text_never_becomes_a_frame(text: str) -> None:
    """Newlines, separators and text that looks like events stay inside their string."""
    assert [json.loads(data) for data in decoded(frame({"delta": text}))] == [{"delta": text}]


def test_half_a_character_does_not_break_a_frame() -> None:
    """A lone surrogate is replaced, and nothing else changes."""
    assert [json.loads(data) for data in decoded(frame({"delta": "a\ud83db"}))] == [{"delta": "a?b"}]


@given(st.lists(json_values, min_size=1, max_size=4), st.lists(st.integers(0, 200), max_size=12), st.booleans())
def test_events_are_the_same_however_they_are_cut(values: list[object], cuts: list[int], is_crlf: bool) -> None:
    """Reads may end anywhere, also inside a character or between CR and LF."""
    raw = b"".join(map(frame, values))
    if is_crlf:
        raw = raw.replace(b"\n", b"\r\n")
    assert [json.loads(data) for data in decoded(raw, cuts)] == values


@pytest.mark.parametrize("text", TRICKY)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_events_survive_byte_by_byte(text: str, end: bytes) -> None:
    """Reading one byte at a time gives the same events as one read."""
    raw = frame({"delta": text}).replace(b"\n", end)
    assert decoded(raw, list(range(len(raw)))) == decoded(raw)


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: a\n\n", ["a"]),
        (b"data:a\n\n", ["a"]),
        (b"data:  a\n\n", [" a"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data:\n\n", [""]),
        (b"event: x\nid: 1\nretry: 5\ndata: a\n\n", ["a"]),
        (PING + b"data: a\n\n" + PING, ["a"]),
        (b"\n\n\ndata: a\n\n\n\n", ["a"]),
        (b"database: no\n\n", []),
        (b"data: a\rstill a\n\n", ["a\rstill a"]),
        (b"data: unfinished\n", []),
        (DONE, ["[DONE]"]),
    ],
)
def test_lines_are_read_as_the_format_says(raw: bytes, events: list[str]) -> None:
    """Only data lines give data; comments and other fields are ignored."""
    assert decoded(raw) == events


@pytest.mark.parametrize("raw", [b"data: " + b"x" * 100, b"data: x\n" * 40, b"data:\n" * 70])
def test_an_endless_event_is_given_up(raw: bytes) -> None:
    """An event over the limit raises, so that a sender cannot use up the memory."""
    decoder = SseDecoder(max_event_bytes=64)
    with pytest.raises(ValueError, match="too large"):
        list(chain.from_iterable(decoder.feed(bytes([byte])) for byte in raw))


def test_bytes_that_are_no_text_are_refused() -> None:
    """Data that is not UTF-8 raises ValueError."""
    with pytest.raises(ValueError, match="utf-8"):
        decoded(b"data: \xff\xfe\n\n")


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "So"])))
def test_a_template_makes_the_frames_that_a_value_makes(text: str) -> None:
    """Byte by byte, for every text."""
    template = FrameTemplate(lambda each: frame({"id": "1", "delta": each, "other": "\u0001"}))
    assert template.frame(text) == frame({"id": "1", "delta": text, "other": "\u0001"})


def test_the_last_event_needs_no_blank_line() -> None:
    """What is complete when the stream ends counts, with or without its line end; a byte-order mark does not."""
    for tail in (b"", b"\n", b"\r\n"):
        decoder = SseDecoder()
        assert list(decoder.feed(b"\xef\xbb\xbfdata: 1\n\ndata: 2" + tail)) == ["1"]
        assert list(decoder.rest()) == ["2"]
        assert list(decoder.rest()) == []


def test_a_body_of_json_is_one_event() -> None:
    """However it is indented and cut; its size has the limit of an event."""
    decoder = SseDecoder()
    pieces = (b"\xef\xbb\xbf", b' {\n "data":', b" 1\n\n}")
    assert [data for piece in pieces for data in decoder.feed(piece)] == []
    assert list(decoder.rest()) == [' {\n "data": 1\n\n}']
    with pytest.raises(ValueError, match="too large"):
        list(SseDecoder(10).feed(b"{" + b" " * 20))

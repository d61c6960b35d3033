"""The requests that each target gets."""

from __future__ import annotations

import json

import httptools

from bench.targets import Target
from bench.upstream import Script

_SCRIPT = Script(0, 16, 0)


class _Read:
    """A request as a server reads it."""

    def __init__(self, request: bytes) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.is_whole = False
        httptools.HttpRequestParser(self).feed_data(request)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_whole = True


def test_each_token_has_its_own_request() -> None:
    """Callers are different users: one whole request for each token."""
    read = [_Read(each) for each in Target("t", 1, tokens=("a", "b")).requests(_SCRIPT, stream=False)]
    assert [each.headers[b"authorization"] for each in read] == [b"Bearer a", b"Bearer b"]
    assert all(each.is_whole for each in read)


def test_a_completion_asks_for_usage_when_streamed() -> None:
    """The model has the target's prefix."""
    target = Target("t", 1, prefix="openai:")
    whole, streamed = (json.loads(_Read(target.requests(_SCRIPT, stream=s)[0]).body) for s in (False, True))
    assert whole["model"] == streamed["model"] == f"openai:{_SCRIPT.model}"
    assert "stream_options" not in whole
    assert streamed["stream_options"] == {"include_usage": True}


def test_the_other_shape_has_one_message() -> None:
    """`POST /` of chat gets the AI SDK's shape."""
    body = json.loads(_Read(Target("t", 1, is_ui=True).requests(_SCRIPT, stream=True)[0]).body)
    assert set(body) == {"message", "model", "stream"}


def test_headers_of_a_target_are_sent() -> None:
    """A peer that routes by headers gets them."""
    request = Target("t", 1, headers={"x-provider": "openai"}).requests(_SCRIPT, stream=False)[0]
    assert _Read(request).headers[b"x-provider"] == b"openai"

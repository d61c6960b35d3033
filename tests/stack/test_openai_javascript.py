"""OpenAI's own SDK for JavaScript against the running stack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.providers import HOSTILE_SANITISED, Script, Upstream
from tests.stack.assists import plays
from tests.stack.conftest import Models
from tests.stack.javascript import run
from tests.stack.openai_sdk import TWO_CALLS, WEATHER
from tests.stack.people import Person
from tests.stack.turns import Database

_HI: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]
_SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}, "score": {"type": "integer"}}}


class Sdk:
    """The SDK of one person, pointed at chat."""

    def __init__(self, person: Person, url: str, able: Models, upstream: Upstream) -> None:
        self.person, self.url = person, url
        self._able, self._upstream = able, upstream

    def model(self, kind: str, *acts: Script) -> str:
        """A model that can use tools, of that kind or with these acts."""
        identifier = self._able(kind)
        return plays(self._upstream, identifier, *acts) if acts else identifier

    def call(self, *calls: dict[str, Any], token: str | None = None) -> list[Any]:
        """What each call came to."""
        asked = [{"messages": _HI} | call for call in calls]
        came: list[Any] = run("openai", base=f"{self.url}/v1", token=token or self.person.token, calls=asked)
        return came


@pytest.fixture
def sdk(alice: Person, chat_url: str, able: Models, upstream: Upstream) -> Sdk:
    """Alice's."""
    return Sdk(alice, chat_url, able, upstream)


def test_chat_and_streaming(sdk: Sdk) -> None:
    """A whole answer, and one in chunks with its usage; models are listed."""
    model = sdk.model("fixed")
    whole, streamed, models = sdk.call(
        {"model": model}, {"model": model, "how": "stream", "stream_options": {"include_usage": True}}, {"how": "list"}
    )
    assert (whole["message"]["content"], whole["finish_reason"]) == ("one two three", "stop")
    assert (streamed["text"], streamed["reason"]) == ("one two three", "stop")
    assert streamed["usage"]["total_tokens"] == 72
    assert "openai:gpt-4o" in models  # what was added a moment ago may not be on the list yet


def test_tools_and_structured_output(sdk: Sdk) -> None:
    """Parallel calls come whole and put together from chunks, their results go back; JSON is parsed."""
    model = sdk.model("echo", TWO_CALLS, TWO_CALLS, Script(("Sunny.",)))
    whole, gathered = sdk.call(
        {"model": model, "tools": [WEATHER], "tool_choice": "required"},
        {"model": model, "tools": [WEATHER], "how": "gather"},
    )
    for choice in (whole, gathered):
        calls = choice["message"]["tool_calls"]
        assert [json.loads(call["function"]["arguments"])["city"] for call in calls] == ["Wien", "Graz"]
        assert choice["finish_reason"] == "tool_calls"
    history = _HI
    for choice in (whole, gathered):  # each message as the SDK keeps it, with what it made of it
        calls = choice["message"]["tool_calls"]
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "20 °C"} for call in calls]
        history = [*history, choice["message"], *results]
    schema = {"name": "verdict", "schema": _SCHEMA}
    final, structured = sdk.call(
        {"model": model, "tools": [WEATHER], "messages": history},
        {
            "model": sdk.model("json"),
            "response_format": {"type": "json_schema", "json_schema": schema},
        },
    )
    assert final["message"]["content"] == "Sunny."
    assert json.loads(structured["message"]["content"]) == {"answer": "forty-two", "score": 3}


def test_every_refusal_is_the_sdks_own_exception(sdk: Sdk, db: Database) -> None:
    """Wrong key, unknown model, nonsense, a model that fails, no requests left, no money left."""
    unknown, wrong, failed, cut = sdk.call(
        {"model": "no-such-model"},
        {"model": "gpt-4o", "n": 2},
        {"model": sdk.model("status-500")},
        {"model": sdk.model("cut"), "how": "stream"},
    )
    assert unknown == {"raised": "NotFoundError", "status": 404, "code": "model_not_found"}
    assert wrong == {"raised": "BadRequestError", "status": 400, "code": "validation_failed"}
    assert failed["raised"] == "InternalServerError"
    assert (cut["text"], cut["raised"], cut["code"]) == ("one two ", "APIError", "answer_cut")
    (stranger,) = sdk.call({"model": "gpt-4o"}, token="sk-wrong")
    assert (stranger["raised"], stranger["status"]) == ("AuthenticationError", 401)
    db.execute("insert into public.usage_limits (scope, daily_requests) values (%s, 0)", [sdk.person.id])
    (limited,) = sdk.call({"model": sdk.model("fixed")})
    assert limited == {"raised": "RateLimitError", "status": 429, "code": "rate_limit_exceeded"}


def test_words_that_look_like_frames_arrive_intact(sdk: Sdk) -> None:
    """Line ends of every kind, half emoji and whole frames are only ever text."""
    (streamed,) = sdk.call({"model": sdk.model("hostile"), "how": "stream"})
    assert streamed["text"] == HOSTILE_SANITISED

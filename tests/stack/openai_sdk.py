"""OpenAI's own Python SDK as a developer uses it, and what tests ask it for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import openai
from pydantic import BaseModel

from tests.fakes.providers import Script, Upstream
from tests.stack.people import Person

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TWO_CALLS = Script(("Looking.",), calls=(("get_weather", {"city": "Wien"}), ("get_weather", {"city": "Graz"})))


class Verdict(BaseModel):
    """What the scripted model answers when it is asked for JSON."""

    answer: str
    score: int


Client = Callable[[Person], openai.OpenAI]


@contextlib.contextmanager
def sdk_clients(chat_url: str) -> Iterator[Client]:
    """Makes clients of the SDK, pointed at chat; they make no retries and are closed at the end."""
    with contextlib.ExitStack() as opened:
        yield lambda person: opened.enter_context(
            openai.OpenAI(base_url=f"{chat_url}/v1", api_key=person.token, max_retries=0)
        )


def last_request(upstream: Upstream, identifier: str) -> dict[str, Any]:
    """The body that the model received last."""
    body: dict[str, Any] = upstream.calls_of(identifier.rpartition(":")[2])[-1].body
    return body

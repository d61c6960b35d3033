"""Settings for every provider with the scripted server, and a route to a model of a given behaviour."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import aclosing
from typing import Any

from shared.errors import ParleyError
from shared.events import ModelEvent, Text
from shared.gateway import ModelSession
from shared.messages import Message
from shared.model_request import Options
from shared.routes import Route, RouteChosen
from tests.fakes.providers import Upstream, matcha_id

STREAMING = ("google", "anthropic", "openai", "huggingface", "client")
PROVIDERS = (*STREAMING, "matcha")
KEYS = {
    "GOOGLE_API_KEY": "key-of-google",
    "ANTHROPIC_API_KEY": "key-of-anthropic",
    "OPENAI_API_KEY": "key-of-openai",
    "HF_TOKEN": "key-of-huggingface",
    "MATCHA_API_KEY": "key-of-matcha",
}
PRICING = {"input": 1, "output": 2, "cached_input": 0.5}
_ADDRESSES = {
    "GEMINI_BASE_URL": "google",
    "ANTHROPIC_BASE_URL": "anthropic",
    "OPENAI_BASE_URL": "openai",
    "HF_BASE_URL": "huggingface",
    "MATCHA_BASE_URL": "matcha",
}
_numbers = itertools.count(1)


def variables(upstream: Upstream) -> dict[str, str]:
    """The environment in which every provider is the scripted one."""
    addresses = {variable: upstream.url(provider) for variable, provider in _ADDRESSES.items()}
    return {**KEYS, **addresses, "MATCHA_MISSION_ID": "3", "ALLOW_PRIVATE_NODES": "1"}


def named(kind: str, provider: str) -> str:
    """A model name of that kind which no other test uses; for MatchAI its number."""
    name = f"{kind}~{next(_numbers)}"
    return str(matcha_id(name)) if provider == "matcha" else name


def route_to(provider: str, kind: str, upstream: Upstream, **changes: Any) -> Route:
    """A route to a model of that kind, able to do all that its provider can."""
    model = named(kind, provider)
    is_node = provider == "client"
    fields: dict[str, Any] = {
        "identifier": f"client:7:{model}" if is_node else f"{provider}:{model}",
        "provider": provider,
        "upstream_id": model,
        "max_output_tokens": 1000,
        "node_id": 7 if is_node else None,
        "base_url": upstream.url("client") if is_node else None,
        "pricing": PRICING,
        "capabilities": {"supports_tools": True, "supports_json": provider != "matcha"},
    }
    return Route(**(fields | changes))


QUESTION = (Message("system", "Be kind and brief in all you say."), Message("user", "one two three"))
Events = list[ModelEvent | RouteChosen]


def session_over(*routes: Route, **options: Any) -> ModelSession:
    """An session that begins now."""
    return ModelSession(routes, Options(**options), time.monotonic())


async def events_of(
    session: ModelSession, messages: tuple[Message, ...] = QUESTION
) -> tuple[Events, ParleyError | None]:
    """All events of an answer, and the error it ended with."""
    events: Events = []
    try:
        async with asyncio.timeout(10), aclosing(session.events(messages)) as stream:
            async for event in stream:
                events.append(event)
    except ParleyError as error:
        return events, error
    return events, None


def text_of(events: Events) -> str:
    """The text of an answer."""
    return "".join(event.text for event in events if isinstance(event, Text))

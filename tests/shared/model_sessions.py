"""Model sessions over scripted hosts, as tests of the gateway use them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

from shared.errors import ParleyError
from shared.events import ModelEvent, Usage
from shared.gateway import ModelSession
from shared.messages import Message, Tool
from shared.model_request import Options
from shared.routes import Attempt, Route, RouteChosen

ROUTE = Route("openai:gpt-4o", "openai", "gpt-4o", 77)
MESSAGES = (Message("system", "Be kind."), Message("user", "Hi"))
NODE = Route("client:7:llama", "client", "llama", 10, node_id=7, base_url="http://127.0.0.1:9/v1")
HF = Route("huggingface:m", "huggingface", "m", 77)
TOOL = Tool("find", "Finds", {"type": "object"})
USED = Usage(10, 5)


def session_over(*routes: Route, options: Options | None = None) -> ModelSession:
    """A session that begins now."""
    return ModelSession(routes or (ROUTE,), options or Options(), time.monotonic())


async def events_of(session: ModelSession) -> tuple[list[ModelEvent | RouteChosen], ParleyError | None]:
    """All events of an answer to MESSAGES, and the error that it ends with."""
    events: list[ModelEvent | RouteChosen] = []
    try:
        async with asyncio.timeout(10), aclosing(session.events(MESSAGES)) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - what came before an error counts
    except ParleyError as error:
        return events, error
    return events, None


async def read_to_the_end(events: AsyncIterator[ModelEvent | RouteChosen]) -> None:
    """Reads the events and drops them."""
    async for _ in events:
        pass


def only_attempt(session: ModelSession) -> Attempt:
    """The session's attempt, of which there must be one."""
    (attempt,) = session.attempts
    return attempt

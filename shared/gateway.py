"""Speaking to a model within time limits: one provider per turn, each call recorded as an attempt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from shared.config import settings
from shared.errors import ParleyError, ProviderError, ProviderTimeout, ProviderUnavailable
from shared.events import Attempt, Call, Finish, Message, ModelEvent, Reasoning, Route, Text, ToolCall
from shared.identifiers import provider_key
from shared.providers import provider_named

FIRST_TOKEN_SECONDS = 20.0
IDLE_SECONDS = 20.0
_MOST_CHARACTERS_PER_TOKEN = 64  # beyond any tokenizer's longest pieces: a host that sends more than it was asked for


class Exchange:
    """One turn with models: the events as they come, and afterwards who served and what was tried."""

    def __init__(self, routes: tuple[Route, ...], messages: tuple[Message, ...], temperature: float | None) -> None:
        self.route = routes[0]
        self.attempts: list[Attempt] = []
        self._messages = messages
        self._temperature = temperature
        self._deadline = float("inf")

    async def events(self) -> AsyncGenerator[ModelEvent, None]:
        """The model's events. Raises ProviderError (or NotConfigured) when it fails, at once or in the middle."""
        started = time.monotonic()
        error: ParleyError | None = None
        try:
            self._deadline = started + settings().turn_seconds
            if self.route.open_until:
                raise ProviderUnavailable(
                    "This model's provider is failing; try again shortly.", retry_after_seconds=10
                )
            async with aclosing(provider_named(self.route.provider).stream(self._call())) as stream:
                async for event in self._timed(stream):
                    yield event
                    if isinstance(event, Finish) and event.reason == "truncated":
                        raise ProviderError("The model's answer broke off before its end.")
        except ParleyError as failure:
            error = failure
            raise
        finally:
            self.attempts.append(_attempt(self.route, started, error))

    def _call(self) -> Call:
        return Call(
            model=self.route.upstream_id,
            messages=self._messages,
            max_output_tokens=self.route.max_output_tokens,
            temperature=self._temperature,
            base_url=self.route.base_url,
        )

    async def _timed(self, stream: AsyncGenerator[ModelEvent, None]) -> AsyncGenerator[ModelEvent, None]:
        """Passes events on while they come in time: limits for the first content, for silence, for the whole turn."""
        has_content = False
        characters_left = _MOST_CHARACTERS_PER_TOKEN * (self.route.max_output_tokens + 100)
        while True:
            limit = IDLE_SECONDS if has_content else FIRST_TOKEN_SECONDS
            try:
                async with asyncio.timeout(min(limit, self._deadline - time.monotonic())):
                    event = await anext(stream, None)
            except TimeoutError as error:
                raise ProviderTimeout("The model did not answer in time.", open_seconds=None) from error
            if event is None:
                return
            has_content = has_content or isinstance(event, Text | Reasoning | ToolCall)
            if isinstance(event, Text | Reasoning):
                characters_left -= len(event.text)
            if characters_left < 0:
                raise ProviderError("The model sent more than it was asked for.")
            yield event


def _attempt(route: Route, started: float, error: ParleyError | None) -> Attempt:
    upstream = error if isinstance(error, ProviderError) else None
    return Attempt(
        identifier=route.identifier,
        provider_key=provider_key(route.provider, route.node_id),
        ok=error is None,
        ms=round((time.monotonic() - started) * 1000),
        error_code=error.code if error else None,
        upstream_status=upstream.upstream_status if upstream else None,
        open_seconds=upstream.open_seconds if upstream else None,
    )

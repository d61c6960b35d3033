"""Model calls: the retry and fallback loop, its time limits, and the record of each call."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from shared.attempts import Outcome, recorded
from shared.config import settings
from shared.errors import (
    AnswerCut,
    InternalError,
    NodeFailed,
    ParleyError,
    ProviderAuthFailed,
    ProviderError,
    ProviderUnavailable,
    ProviderUnreachable,
    TurnTimeout,
)
from shared.events import CONTENT, CallPiece, Finish, ModelEvent, Reasoning, Refusal, Text, Usage
from shared.fallback import MIN_SECONDS, FallbackPlan
from shared.messages import (
    PLAIN_FORMAT,
    Document,
    Format,
    Image,
    Message,
    ModelRequest,
    Node,
    Part,
    Tool,
    ToolCall,
)
from shared.parameters import is_taken, stops_taken, taken, uses_responses
from shared.providers import provider_named
from shared.routes import Attempt, Route, RouteChosen
from shared.sanitize import is_sound, sanitize_text
from shared.secrets import secrets
from shared.surrogates import SurrogateRepair
from shared.token_bounds import token_upper_bound
from shared.tracing import current as current_trace
from shared.usage import UsageMeter, total
from shared.watchdog import Watchdog

HEADER_SECONDS = 20.0  # until the provider accepts the request
FIRST_CONTENT_SECONDS: float | None = None  # of silence before the first content; None for the deployment's
IDLE_SECONDS = 60.0  # of silence between two pieces
_MAX_CHARACTERS_PER_TOKEN = 64  # more than any tokenizer's longest piece: a host over this limit sends too much

BeforeRetry = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a model call, for every route of the turn; `parameters` are further ones by OpenAI's names.

    A model without JSON schemas, and with `is_schema_text` every model, gets `output_schema` in its prompt; with
    `has_schema_tool` a model with tools gets it as a tool that it must call.
    """

    temperature: float | None = None
    tools: tuple[Tool, ...] = ()
    may_call_tools: bool = True
    output_schema: Mapping[str, Any] | None = None
    must_call: str | bool = False
    may_call_in_parallel: bool = True
    stop: tuple[str, ...] = ()
    output_format: Format = PLAIN_FORMAT
    has_schema_tool: bool = False
    is_schema_text: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)


class ModelSession:
    """The model calls of one turn: their events, and afterwards the route, the attempts and the usage.

    `arrived` is the time.monotonic() at which the request arrived, when the turn's time begins. `options` are those of
    calls without their own. After a failed call that is charged, `before_retry` is called with the most input tokens of
    the next call; if it raises, there is no next call.
    """

    def __init__(
        self, routes: tuple[Route, ...], options: Options, arrived: float, before_retry: BeforeRetry | None = None
    ) -> None:
        self.route = routes[0]
        self.attempts: list[Attempt] = []
        self._routes, self._options, self._arrived, self._before_retry = routes, options, arrived, before_retry
        self._deadline = float("inf")
        self._chosen: Route | None = None

    @property
    def deadline(self) -> float:
        """The end of the turn's time, by time.monotonic(). Raises NotConfigured."""
        return self._arrived + settings().turn_seconds

    @property
    def has_time(self) -> bool:
        """Whether there is time for another call."""
        return time.monotonic() + MIN_SECONDS <= self.deadline

    @property
    def usage(self) -> Usage:
        """The usage of all calls of the turn together."""
        return total(attempt.usage for attempt in self.attempts if attempt.usage)

    async def events(
        self, messages: tuple[Message, ...], options: Options | None = None
    ) -> AsyncGenerator[ModelEvent | RouteChosen, None]:
        """A model's answer to `messages`: RouteChosen when a route begins to answer, then its events.

        Before the first content a failed call is repeated at the same or the next route, if its error allows that.
        After it there is no second answer. Raises the last ProviderError (or NotConfigured, DatabaseUnavailable).
        A later call of this method begins with the route that answered the earlier one.
        """
        options = options or self._options
        self._deadline = self.deadline
        if self.attempts and not self.has_time:
            raise TurnTimeout("The turn has no time left for another call.")
        chain = FallbackPlan(self._routes[self._routes.index(self.route) :], self._deadline)
        has_begun = False
        wait: float | None = 0.0
        while wait is not None:
            await asyncio.sleep(wait)
            self.route, asked_at = chain.route, time.monotonic()
            try:
                async with aclosing(self._attempt(messages, options)) as events:
                    async for event in events:
                        if not has_begun and self.route != self._chosen:
                            self._chosen = self.route
                            yield RouteChosen(self.route)
                        has_begun = True
                        yield event
                wait = None
            except ParleyError as error:
                wait = None if has_begun else await _wait_after(error, chain, asked_at)
                if wait is None or not await self._is_covered(messages, options):
                    raise

    async def _is_covered(self, messages: tuple[Message, ...], options: Options) -> bool:
        """Whether the reserved money covers another call: a charged call has used its own reservation."""
        if self._before_retry is None or self.attempts[-1].usage is None:
            return True
        try:
            await self._before_retry(token_upper_bound(messages, options.tools))
        except ParleyError:
            return False
        return True

    async def _attempt(self, messages: tuple[Message, ...], options: Options) -> AsyncGenerator[ModelEvent, None]:
        """One call, recorded however it ends. It yields nothing before its first content, so it can be repeated."""
        started = time.monotonic()
        if (trace := current_trace()) is not None:
            trace.begin_attempt()
        call = _call(self.route, options, messages)
        intake = _Intake(call, self.route.capabilities.get("context_window"))
        meter, is_asked = intake.meter, False
        error: ParleyError | None = None
        try:
            _refuse_open_circuit(self.route)
            provider = await provider_named(self.route.provider)
            is_asked = True
            with Watchdog() as watchdog:
                call = replace(call, on_bytes=watchdog.alive)
                async with aclosing(provider.stream(call)) as stream:  # closing it disconnects from the model
                    first_content = FIRST_CONTENT_SECONDS or settings().first_content_seconds
                    watchdog.start(HEADER_SECONDS, first_content, self._left())
                    async for event in stream:
                        watchdog.stop()
                        for ready in intake.take(event):
                            yield ready
                        seconds = IDLE_SECONDS if intake.has_begun else first_content
                        watchdog.start(seconds, seconds, self._left())
            if not intake.is_complete:
                _refuse_half(meter, has_ended=intake.has_ended)
        except ParleyError as failure:
            error = _as_node_failure(failure, self.route, has_begun=meter.has_content)
            raise error from failure.__cause__
        except Exception:
            error = InternalError()  # our own bug is not charged
            raise
        finally:
            outcome = Outcome(error, is_asked=is_asked, is_complete=intake.is_complete)
            self.attempts.append(recorded(self.route, started, meter, outcome))
            if trace is not None:
                trace.add_attempt(self.attempts[-1], started)

    def _left(self) -> float:
        """Seconds until the turn's end.

        Raises TurnTimeout after it, also when the model is never silent: a slow client may take all the time.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TurnTimeout("The turn's time has ended.")
        return left


async def _wait_after(error: ParleyError, chain: FallbackPlan, asked_at: float) -> float | None:
    """Seconds before the next call, or None for no call. After a replaced key it is the same call again."""
    if isinstance(error, ProviderAuthFailed) and await secrets.changed_since(asked_at):
        return chain.again()
    return chain.after(error, time.monotonic())


def _call(route: Route, options: Options, messages: tuple[Message, ...]) -> ModelRequest:
    """The request for the route's model, without what the model cannot do."""
    can = route.capabilities
    if not can.get("supports_tools"):
        messages = without_tool_calls(messages)
    messages = tuple(_visible(message, can) if message.has_files else message for message in messages)
    node = None
    if route.node_id is not None:
        node = Node(route.node_id, route.base_url or "", route.has_key)
    schema, tools, must_call = options.output_schema, options.tools, options.must_call
    is_text = options.is_schema_text or not can.get("supports_json")
    if schema is not None and is_text and options.has_schema_tool and can.get("supports_tools"):
        must_call = options.output_format.name
        tools, schema = (*tools, Tool(must_call, "Takes the answer.", schema)), None
    elif schema is not None and is_text:
        words = (
            f"Answer with JSON only, without any other text. It must fit this JSON Schema:\n{json.dumps(dict(schema))}"
        )
        messages, schema = (Message("system", words), *messages), None
    return ModelRequest(
        model=route.upstream_id,
        messages=tuple(map(_sanitised, messages)),
        max_output_tokens=route.max_output_tokens,
        temperature=options.temperature if is_taken("temperature", options.temperature, route) else None,
        tools=tools if can.get("supports_tools") else (),
        may_call_tools=options.may_call_tools,
        output_schema=schema,
        node=node,
        must_call=must_call,
        may_call_in_parallel=options.may_call_in_parallel,
        stop=stops_taken(options.stop, route),
        output_format=options.output_format,
        parameters=taken(options.parameters, route),
        uses_responses=uses_responses(route),
    )


def _sanitised(message: Message) -> Message:
    return message if is_sound(message.content) else replace(message, content=sanitize_text(message.content))


def without_tool_calls(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation for a model without tools: calls and results become plain text."""
    return tuple(_plain(message) if message.role == "tool" or message.tool_calls else message for message in messages)


def _visible(message: Message, can: Mapping[str, Any]) -> Message:
    """The message with a note in place of each image or PDF that the model does not take."""
    parts = tuple(map(functools.partial(_noted, can), message.parts))
    if parts == message.parts:
        return message
    return replace(message, parts=parts, content="\n\n".join(part for part in parts if isinstance(part, str)))


def _noted(can: Mapping[str, Any], part: Part) -> Part:
    if isinstance(part, Image) and not can.get("supports_vision"):
        return "[An image that you cannot see.]"
    if isinstance(part, Document) and not can.get("supports_files"):
        return f"[A PDF that you cannot read: {part.name}]"
    return part


def _plain(message: Message) -> Message:
    if message.role == "tool":
        return Message("user", f"[A tool answered: {message.content}]")
    calls = (f"[You called {call.name} with {call.text}.]" for call in message.tool_calls)
    return Message("assistant", "\n".join(filter(None, (message.content, *calls))))


class _Intake:
    """Takes the events of a host: measured, with valid text and within bounds.

    The bounds are no tool calls without tools, and a maximum of text. A call of an unknown tool is passed on, because
    the tool loop answers it with the names of the tools. `has_begun` is whether the host has sent any content.
    """

    def __init__(self, call: ModelRequest, context_window: int | None = None) -> None:
        self.meter = UsageMeter(call, context_window)
        self.has_begun = self.has_ended = self.is_complete = False
        self._repair = SurrogateRepair()
        self._held: list[ModelEvent] = []
        self._may_call = bool(call.tools) and call.may_call_tools
        self._may_be_empty = bool(call.stop)  # a stop sequence may be the first thing that the model writes
        self._characters_left = _MAX_CHARACTERS_PER_TOKEN * (call.max_output_tokens + 100)

    def take(self, event: ModelEvent) -> list[ModelEvent]:
        """The events to pass on now: none before the first content. Raises ProviderError over the maximum."""
        self.has_begun = self.has_begun or isinstance(event, CONTENT)
        for each in self._repair.joined(event):
            if (kept := self._within_bounds(each)) is not None:
                self.meter.observe(kept)
                self._held.append(kept)
                self.has_ended = isinstance(kept, Finish) and kept.reason != "truncated"
                self.is_complete = isinstance(kept, Finish) and self._is_end(kept)
        if not (self.meter.has_content or self.is_complete):
            return []
        ready, self._held = self._held, []
        return ready

    def _is_end(self, finish: Finish) -> bool:
        """Whether the answer is complete: an end without any content is the failure of a model."""
        is_answer = self.meter.has_content or self._may_be_empty or finish.reason in {"length", "filtered"}
        return finish.reason != "truncated" and is_answer

    def _within_bounds(self, event: ModelEvent) -> ModelEvent | None:
        """The event to pass on; None for a dropped one. Raises ProviderError over the maximum."""
        match event:
            case Text() | Reasoning() | Refusal():
                self._characters_left -= len(event.text)
                if self._characters_left < 0:
                    raise ProviderError("The model sent more than it was asked for.")
            case CallPiece() | ToolCall() if not self._may_call:
                return None
            case Finish(reason="tool_calls") if not self._may_call:
                return Finish("stop")
            case _:
                pass
        return event


def _refuse_open_circuit(route: Route) -> None:
    if route.open_until:
        left = (datetime.fromisoformat(route.open_until) - datetime.now(UTC)).total_seconds()
        raise ProviderUnavailable(
            "This model's provider is failing; try again shortly.", retry_after_seconds=max(1.0, left)
        )


def _refuse_half(meter: UsageMeter, *, has_ended: bool) -> None:
    if meter.has_content:
        raise _cut()
    error = ProviderError("The model's answer ended before it began.")
    error.is_fault = not has_ended  # a prompt can ask for an empty answer
    raise error


def _cut() -> AnswerCut:
    return AnswerCut("The model's answer broke off before its end.")


def _as_node_failure(failure: ParleyError, route: Route, *, has_begun: bool) -> ParleyError:
    """The same error for every failure of a node; a connection lost during the answer is AnswerCut."""
    if not isinstance(failure, ProviderError):
        return failure
    if route.node_id is not None and not isinstance(failure, NodeFailed | ProviderUnavailable):
        return NodeFailed.of(failure)
    if has_begun and isinstance(failure, ProviderUnreachable):
        return _cut()
    return failure

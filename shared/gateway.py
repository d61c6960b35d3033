"""Model calls: the retry and fallback loop, its time limits, and the record of each call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

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
from shared.events import ModelEvent, Usage
from shared.fallback import MIN_SECONDS, FallbackPlan
from shared.intake import Intake
from shared.messages import Message
from shared.model_request import Options, model_request
from shared.providers import Provider, provider_named
from shared.routes import Attempt, Route, RouteChosen
from shared.secrets import secrets
from shared.token_bounds import token_upper_bound
from shared.tracing import current as current_trace
from shared.usage import UsageMeter, total
from shared.watchdog import Watchdog

HEADER_SECONDS = 20.0  # until the provider accepts the request
FIRST_CONTENT_SECONDS: float | None = None  # of silence before the first content; None for the deployment's
IDLE_SECONDS = 60.0  # of silence between two pieces
_ENDED = "The turn's time has ended."

BeforeRetry = Callable[[int], Awaitable[None]]


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
        return settings().deadline(self._arrived)

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
        plan = FallbackPlan(self._routes[self._routes.index(self.route) :], self._deadline)
        has_begun = False
        wait: float | None = 0.0
        while wait is not None:
            await asyncio.sleep(wait)
            self.route, asked_at = plan.route, time.monotonic()
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
                wait = None if has_begun else await _wait_after(error, plan, asked_at)
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
        call = model_request(self.route, options, messages)
        intake = Intake(call, self.route.capabilities.get("context_window"))
        meter, is_asked = intake.meter, False
        error: ParleyError | None = None
        try:
            _refuse_open_circuit(self.route)
            provider = await self._provider()
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

    async def _provider(self) -> Provider:
        try:
            return await provider_named(self.route.provider, self._left())
        except TimeoutError as late:
            raise TurnTimeout(_ENDED) from late

    def _left(self) -> float:
        """Seconds until the turn's end.

        Raises TurnTimeout after it, also when the model is never silent: a slow client may take all the time.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TurnTimeout(_ENDED)
        return left


async def _wait_after(error: ParleyError, plan: FallbackPlan, asked_at: float) -> float | None:
    """Seconds before the next call, or None for no call. After a replaced key it is the same call again."""
    if isinstance(error, ProviderAuthFailed) and await secrets.changed_since(asked_at):
        return plan.again()
    return plan.after(error, time.monotonic())


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

"""Structured answers: a model gets a JSON Schema, and further tries when its answer does not fit."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from shared.errors import AnswerCut, NodeFailed, OutputInvalid, ParleyError, ProviderRefused, ProviderUnreachable
from shared.events import Finish, ModelEvent, NextStep, Refusal, Text
from shared.gateway import BeforeRetry, ModelSession
from shared.messages import Format, Message, Tool, ToolCall
from shared.model_request import SCHEMA_INSTRUCTION, Options
from shared.routes import Attempt, Route, RouteChosen
from shared.token_bounds import token_upper_bound
from shared.validation import describe

Output = TypeVar("Output", bound=BaseModel)

_MAX_ERRORS = 10
_MAX_OBJECTS = 20  # of an answer with several JSON objects between other text
_REFUSES_SCHEMA = {400, 422}
_HOPELESS = {
    "filtered": "The provider blocked the answer.",
    "length": "The answer does not fit into the tokens it may have.",
}


async def ask_for(output: type[Output], session: ModelSession, messages: tuple[Message, ...]) -> Output:
    """The model's answer as a value of `output`, whose JSON Schema is in the session's options (`schema_of`).

    If the answer does not fit, the model gets it back once, with what is wrong. Raises OutputInvalid when the second
    answer does not fit either, and what the gateway raises. The session has the usage of both calls.
    """
    answer = await _answer_text(session, messages)
    try:
        return _read(output, answer)
    except ValidationError as error:
        repair = _repair(messages, answer, error)
    repaired = await _answer_text(session, repair)
    try:
        return _read(output, repaired)
    except ValidationError as error:
        raise OutputInvalid("The model's answer does not fit the schema it was asked for.") from error


class StructuredAnswer(Generic[Output]):
    """A model's answer as a value of `output`; its events, and afterwards the value, the route and all attempts.

    `options` have the schema. With `halves_first` the first try may use half of the output tokens of `routes`.
    An answer that does not fit the schema is repaired once, one that broke off is asked for once more, and one that was
    cut by its length gets one try with all tokens. When a provider refuses the schema, the model gets it as text.
    `reserve` is called with the most input tokens of the next call after each call that is charged.
    """

    def __init__(
        self,
        output: type[Output],
        routes: tuple[Route, ...],
        options: Options,
        arrived: float,
        reserve: BeforeRetry,
        *,
        halves_first: bool,
    ) -> None:
        divisor = 2 if halves_first else 1
        short = tuple(replace(each, max_output_tokens=-(-each.max_output_tokens // divisor)) for each in routes)
        self.value: Output | None = None
        self.reason: str | None = None
        self._output, self._routes, self._options = output, routes, options
        self._arrived, self._reserve = arrived, reserve
        self._sessions = [ModelSession(short, options, arrived, reserve)]
        self._done: set[str] = set()  # the kinds of further tries that were used
        self._text: list[str] = []
        self._is_refused = False

    @property
    def route(self) -> Route:
        """The route of the last try, as it was admitted."""
        identifier = self._sessions[-1].route.identifier
        return next(route for route in self._routes if route.identifier == identifier)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts of all tries."""
        return tuple(attempt for session in self._sessions for attempt in session.attempts)

    async def events(self, messages: tuple[Message, ...]) -> AsyncGenerator[ModelEvent | RouteChosen | NextStep, None]:
        """The events of each try, with NextStep between two; the arguments of the schema's tool are text.

        Raises OutputInvalid when the repair does not fit either, AnswerCut when the answer has no end with all tokens
        either, and what the gateway and `reserve` raise.
        """
        prompt: tuple[Message, ...] | None = messages
        while prompt is not None:
            try:
                async with aclosing(self._tried(prompt)) as events:
                    async for event in events:
                        yield event
            except ParleyError as error:
                self._after_failure(error)
                following: tuple[Message, ...] | None = prompt
            else:
                following = self._after_answer(messages, prompt)
            prompt = following
            if prompt is not None:
                await self._prepare(prompt)
                yield NextStep()

    async def _tried(self, prompt: tuple[Message, ...]) -> AsyncGenerator[ModelEvent | RouteChosen, None]:
        self._text, self.reason, self._is_refused = [], None, False
        async with aclosing(self._sessions[-1].events(prompt, self._options)) as events:
            async for event in events:
                if isinstance(event, ToolCall):
                    event = Text(event.text if event.broken is None else event.broken)  # noqa: PLW2901 - its text
                if isinstance(event, Text):
                    self._text.append(event.text)
                elif isinstance(event, Finish):
                    self.reason = event.reason
                elif isinstance(event, Refusal):
                    self._is_refused = True
                yield event

    def _after_failure(self, error: ParleyError) -> None:
        """Prepares another try. Raises the error when there is none."""
        if self._text:
            if not isinstance(error, AnswerCut | ProviderUnreachable | NodeFailed) or not self._is_first("cut"):
                raise error
        elif _may_refuse_schema(error) and self._is_first("schema"):
            self._options = replace(self._options, is_schema_text=True, has_schema_tool=False)
        else:
            raise error

    def _after_answer(self, messages: tuple[Message, ...], prompt: tuple[Message, ...]) -> tuple[Message, ...] | None:
        """The prompt of another try; None when the answer fits. Raises OutputInvalid, AnswerCut."""
        if self.reason == "filtered":
            raise OutputInvalid(_HOPELESS["filtered"])
        if self._is_refused and not self._text:
            raise OutputInvalid("The model refused to answer.")
        if self.reason == "length":
            if self.route.max_output_tokens <= self._sessions[-1].route.max_output_tokens or not self._is_first("more"):
                raise AnswerCut(_HOPELESS["length"])
            served = self._routes.index(self.route)
            self._sessions.append(ModelSession(self._routes[served:], self._options, self._arrived, self._reserve))
            return prompt
        answer = "".join(self._text)
        try:
            self.value = _read(self._output, answer)
        except ValidationError as error:
            if not self._is_first("repair"):
                raise OutputInvalid("The model's answer does not fit the schema it was asked for.") from error
            return _repair(messages, answer, error)
        self.reason = "stop"
        return None

    def _is_first(self, kind: str) -> bool:
        is_first = kind not in self._done
        self._done.add(kind)
        return is_first

    async def _prepare(self, prompt: tuple[Message, ...]) -> None:
        """Reserves the next call; what was reserved covers one call that was not charged."""
        if self.attempts and self.attempts[-1].usage is not None:
            await self._reserve(token_upper_bound(prompt, (schema_tool(self._options),)))


def _may_refuse_schema(error: ParleyError) -> bool:
    """Whether the failed call may succeed with the schema as text; a node does not say what it refuses."""
    if isinstance(error, NodeFailed):
        return not error.is_transient
    return isinstance(error, ProviderRefused) and error.upstream_status in _REFUSES_SCHEMA


def schema_tool(options: Options) -> Tool:
    """A tool that takes as many tokens as the output schema with its instruction."""
    form: Format = options.output_format
    return Tool("schema", f"{form.name} {form.description or ''} {SCHEMA_INSTRUCTION}", options.output_schema or {})


def schema_of(output: type[BaseModel]) -> dict[str, object]:
    """The JSON Schema for `Options.output_schema`."""
    return output.model_json_schema()


async def _answer_text(session: ModelSession, messages: tuple[Message, ...]) -> str:
    """The answer's text. Raises OutputInvalid for one that was blocked or is too long: a second call would not help."""
    words: list[str] = []
    async with aclosing(session.events(messages)) as events:
        async for event in events:
            if isinstance(event, Text):
                words.append(event.text)
            elif isinstance(event, Finish) and event.reason in _HOPELESS:
                raise OutputInvalid(_HOPELESS[event.reason])
    return "".join(words)


def _repair(messages: tuple[Message, ...], answer: str, error: ValidationError) -> tuple[Message, ...]:
    """The messages with the answer and what is wrong with it."""
    complaint = "Your answer does not fit the schema. Answer again with the JSON alone.\n"
    complaint += "\n".join(describe(error, "answer", _MAX_ERRORS))
    return (*messages, *((Message("assistant", answer),) if answer.strip() else ()), Message("user", complaint))


def _read(output: type[Output], answer: str) -> Output:
    """The validated value. Raises ValidationError.

    Models without schema support often wrap their JSON in a fence or in prose, or write drafts before it.
    """
    first, *others = _candidates(answer)
    try:
        return output.model_validate_json(first)
    except ValidationError:
        for other in others:
            with suppress(ValidationError):
                return output.model_validate_json(other)
        raise


def _candidates(answer: str) -> Iterator[str]:
    """The text from the first to the last brace, then each JSON object in it, the last one first."""
    start, end = answer.find("{"), answer.rfind("}") + 1
    yield answer[start:end] if 0 <= start < end else answer.strip()
    found: list[str] = []
    decoder = json.JSONDecoder()
    for _ in range(_MAX_OBJECTS):
        if start < 0:
            break
        try:
            _, stop = decoder.raw_decode(answer, start)
        except (ValueError, RecursionError):
            stop = start + 1
        else:
            found.append(answer[start:stop])
        start = answer.find("{", stop)
    yield from reversed(found)

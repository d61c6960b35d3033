"""Structured answers: a model gets a JSON Schema, and a second try when its answer does not fit."""

from __future__ import annotations

from contextlib import aclosing
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared.errors import OutputInvalid
from shared.events import Finish, Text
from shared.gateway import ModelSession
from shared.messages import Message
from shared.validation import describe

Output = TypeVar("Output", bound=BaseModel)

_MAX_ERRORS = 10
_HOPELESS = {
    "filtered": "The provider blocked the answer.",
    "length": "The answer does not fit into the tokens it may have.",
}


async def ask_for(output: type[Output], exchange: ModelSession, messages: tuple[Message, ...]) -> Output:
    """The model's answer as a value of `output`, whose JSON Schema is in the session's options (`schema_of`).

    If the answer does not fit, the model gets it back once, with what is wrong. Raises OutputInvalid when the second
    answer does not fit either, and what the gateway raises. The session has the usage of both calls.
    """
    answer = await _answer_text(exchange, messages)
    try:
        return _read(output, answer)
    except ValidationError as error:
        complaint = "Your answer does not fit the schema. Answer again with the JSON alone.\n"
        complaint += "\n".join(describe(error, "answer", _MAX_ERRORS))
    repaired = await _answer_text(exchange, (*messages, Message("assistant", answer), Message("user", complaint)))
    try:
        return _read(output, repaired)
    except ValidationError as error:
        raise OutputInvalid("The model's answer does not fit the schema it was asked for.") from error


def schema_of(output: type[BaseModel]) -> dict[str, object]:
    """The JSON Schema for `Options.output_schema`."""
    return output.model_json_schema()


async def _answer_text(exchange: ModelSession, messages: tuple[Message, ...]) -> str:
    """The answer's text. Raises OutputInvalid for one that was blocked or is too long: a second call would not help."""
    words: list[str] = []
    async with aclosing(exchange.events(messages)) as events:
        async for event in events:
            if isinstance(event, Text):
                words.append(event.text)
            elif isinstance(event, Finish) and event.reason in _HOPELESS:
                raise OutputInvalid(_HOPELESS[event.reason])
    return "".join(words)


def _read(output: type[Output], answer: str) -> Output:
    """The validated value. Models without schema support often wrap their JSON in a fence or in prose."""
    start, end = answer.find("{"), answer.rfind("}") + 1
    return output.model_validate_json(answer[start:end] if 0 <= start < end else answer.strip())

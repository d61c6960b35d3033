"""Answers that are values: a model is asked for JSON of a schema, and once more when it does not fit."""

from __future__ import annotations

from contextlib import aclosing
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared.errors import OutputInvalid
from shared.events import Finish, Text
from shared.gateway import ModelSession
from shared.messages import Message

Output = TypeVar("Output", bound=BaseModel)

_MAX_ERRORS = 10
_HOPELESS = {
    "filtered": "The provider blocked the answer.",
    "length": "The answer does not fit into the tokens it may have.",
}


async def ask_for(output: type[Output], exchange: ModelSession, messages: tuple[Message, ...]) -> Output:
    """The model's answer as a value of `output`, whose JSON Schema the exchange's options carry (`schema_of`).

    An answer that does not fit goes back with what is wrong with it, once. Raises OutputInvalid when the second does
    not fit either, and what the gateway raises. What both calls used is in the exchange.
    """
    answer = await _said(exchange, messages)
    try:
        return _read(output, answer)
    except ValidationError as error:
        complaint = f"Your answer does not fit the schema. Answer again with the JSON alone.\n{_told(error)}"
    mended = await _said(exchange, (*messages, Message("assistant", answer), Message("user", complaint)))
    try:
        return _read(output, mended)
    except ValidationError as error:
        raise OutputInvalid("The model's answer does not fit the schema it was asked for.") from error


def schema_of(output: type[BaseModel]) -> dict[str, object]:
    """The JSON Schema for `Options.output_schema`."""
    return output.model_json_schema()


async def _said(exchange: ModelSession, messages: tuple[Message, ...]) -> str:
    """The answer's text. Raises OutputInvalid for one that was blocked or is too long: that cannot be mended."""
    words: list[str] = []
    async with aclosing(exchange.events(messages)) as events:
        async for event in events:
            if isinstance(event, Text):
                words.append(event.text)
            elif isinstance(event, Finish) and event.reason in _HOPELESS:
                raise OutputInvalid(_HOPELESS[event.reason])
    return "".join(words)


def _read(output: type[Output], answer: str) -> Output:
    """Models that were only told of the schema like to fence their JSON, or to talk around it."""
    start, end = answer.find("{"), answer.rfind("}") + 1
    return output.model_validate_json(answer[start:end] if 0 <= start < end else answer.strip())


def _told(error: ValidationError) -> str:
    """What is wrong and where, without the values: they may hold anything."""
    return "\n".join(
        f"{'.'.join(map(str, each['loc'])) or 'answer'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False, include_context=False)[:_MAX_ERRORS]
    )

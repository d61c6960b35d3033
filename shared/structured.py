"""Answers that are values: a model is asked for JSON of a schema, and once more when it does not fit."""

from __future__ import annotations

from contextlib import aclosing
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared.errors import OutputInvalid
from shared.events import Message, Text
from shared.gateway import Exchange

Output = TypeVar("Output", bound=BaseModel)

_MOST_ERRORS = 10


async def ask_for(output: type[Output], exchange: Exchange, messages: tuple[Message, ...]) -> Output:
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


async def _said(exchange: Exchange, messages: tuple[Message, ...]) -> str:
    async with aclosing(exchange.events(messages)) as events:
        return "".join([event.text async for event in events if isinstance(event, Text)])


def _read(output: type[Output], answer: str) -> Output:
    """Models that were only told of the schema like to fence their JSON."""
    text = answer.strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0]
    return output.model_validate_json(text)


def _told(error: ValidationError) -> str:
    """What is wrong and where, without the values: they may hold anything."""
    return "\n".join(
        f"{'.'.join(map(str, each['loc'])) or 'answer'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False, include_context=False)[:_MOST_ERRORS]
    )

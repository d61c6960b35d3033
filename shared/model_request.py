"""The request of a model call: the options of the turn, without what the route's model cannot do."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from shared.messages import PLAIN_FORMAT, Document, Format, Image, Message, ModelRequest, Node, Part, Tool
from shared.parameters import is_taken, stops_taken, taken, uses_responses
from shared.routes import Route
from shared.sanitize import is_sound, sanitize_text

SCHEMA_INSTRUCTION: Final = "Answer with JSON only, without any other text. It must fit this JSON Schema:"


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


def model_request(route: Route, options: Options, messages: tuple[Message, ...]) -> ModelRequest:
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
        messages, schema = (Message("system", f"{SCHEMA_INSTRUCTION}\n{json.dumps(dict(schema))}"), *messages), None
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

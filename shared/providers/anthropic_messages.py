"""Claude's messages, usage and stop reasons, to and from our own values; knows nothing of time or network."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Final

from anthropic import transform_schema, types

from shared.events import StopReason, Usage
from shared.messages import ANY_OBJECT, Image, Message, ModelRequest
from shared.providers.provider_errors import PARSE_ERRORS, parse_usage

NAME: Final = "anthropic"

_STOP_REASONS: dict[str, StopReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "filtered",
}
_ANY_OBJECT_WORDS = "Answer with one JSON object only, without any other text."


def asked_of(call: ModelRequest) -> dict[str, Any]:
    """The arguments of `messages.create`, without sampling parameters: API 2026-10-21 answers those with 400."""
    asked: dict[str, Any] = {
        "model": call.model,
        "messages": _messages(call),
        "max_tokens": call.max_output_tokens,
    }
    told = [m.content for m in call.messages if m.role == "system"]
    if call.output_schema == ANY_OBJECT:  # there is no mode for an object of no schema
        told.append(_ANY_OBJECT_WORDS)
    if system := "\n\n".join(told):
        asked["system"] = system
    if call.tools:
        asked["tools"] = [
            {"name": t.name, "description": t.description, "input_schema": dict(t.parameters)} for t in call.tools
        ]
        if choice := _tool_choice(call):
            asked["tool_choice"] = choice
    if _lacks_thinking(call):
        asked["thinking"] = {"type": "disabled"}
    if call.stop:
        asked["stop_sequences"] = list(call.stop)
    if call.output_schema is not None and call.output_schema != ANY_OBJECT:
        asked["output_config"] = {"format": {"type": "json_schema", "schema": _schema(call.output_schema)}}
    return asked


def _lacks_thinking(call: ModelRequest) -> bool:
    """Whether calls of the current turn came back without Claude's own thinking, which it would insist on."""
    current = takewhile(lambda message: message.role != "user", reversed(call.messages))
    return any(m.tool_calls and not (m.native and m.native.provider == NAME) for m in current)


def _tool_choice(call: ModelRequest) -> dict[str, Any]:
    if not call.may_call_tools:
        return {"type": "none"}
    named = {"type": "tool", "name": call.must_call} if isinstance(call.must_call, str) else {"type": "any"}
    choice: dict[str, Any] = named if call.must_call else {"type": "auto"}
    if call.may_call_in_parallel:
        return choice if call.must_call else {}
    return choice | {"disable_parallel_tool_use": True}


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """As Claude's API wants schemas; one that the SDK cannot rewrite goes as it is, for the API to judge."""
    try:
        return transform_schema(dict(schema))
    except PARSE_ERRORS:
        return dict(schema)


def _messages(call: ModelRequest) -> list[dict[str, Any]]:
    """The conversation; it begins with a person's words, and all results of one turn stand in one message."""
    messages: list[dict[str, Any]] = []
    for message in call.messages:
        if message.role == "system" or (not messages and message.role != "user"):
            continue
        if message.role == "tool":
            _add_result(messages, message)
        elif blocks := _blocks(message):
            messages.append({"role": message.role, "content": blocks})
    return messages


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.native and message.native.provider == NAME:
        return list(message.native.content)
    said = [_block(part) for part in message.parts or (message.content,) if isinstance(part, Image) or part.strip()]
    return said + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        for call in message.tool_calls
    ]


def _block(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}


def _add_result(messages: list[dict[str, Any]], message: Message) -> None:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}
    if message.is_error:
        result["is_error"] = True
    latest = messages[-1] if messages else None
    if latest and latest["role"] == "user" and latest["content"][0]["type"] == "tool_result":
        latest["content"].append(result)
    else:
        messages.append({"role": "user", "content": [result]})


def usage_of(
    told: types.Usage | types.MessageDeltaUsage | None, start: types.Usage | None, *, is_placeholder: bool = False
) -> Usage | None:
    """Claude's counts: what was cached comes on top of the input, thinking is within the output.

    A count that a later event leaves out is the one the start of the message told; what the start says of the output
    is a placeholder, for nothing has been written then. The SDK does not check that a proxy sends any of it.
    """

    def latest(name: str) -> Any:
        later = getattr(told, name, None)
        return getattr(start, name, None) if later is None else later

    fresh, read = latest("input_tokens"), latest("cache_read_input_tokens") or 0
    written = latest("cache_creation_input_tokens") or 0
    if not all(isinstance(count, int) and count >= 0 for count in (fresh, read, written)):
        return None
    output_tokens = 0 if is_placeholder else getattr(told, "output_tokens", None)
    thinking = getattr(getattr(told, "output_tokens_details", None), "thinking_tokens", None)
    return parse_usage(fresh + read + written, output_tokens, read, thinking)


def stop_reason_of(told: str | None) -> StopReason:
    """No reason means the answer was cut; one we do not know yet is an ordinary end."""
    return "truncated" if told is None else _STOP_REASONS.get(told, "stop")

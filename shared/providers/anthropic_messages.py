"""Converts messages, usage and stop reasons to and from Claude's API; without network access."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Final

from anthropic import transform_schema, types

from shared.events import StopReason, Usage
from shared.messages import ANY_OBJECT, Document, Message, ModelRequest, Part
from shared.parameters import CLAUDE_EFFORTS
from shared.providers.provider_errors import PARSE_ERRORS
from shared.providers.token_counts import parse_usage

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
_MAX_CACHE_MARKS = 4
_MARK: Final = {"cache_control": {"type": "ephemeral"}}  # for five minutes
_MIN_CACHED_CHARACTERS = 4_096
_ANY_OBJECT_PROMPT = "Answer with one JSON object only, without any other text."


def request_arguments(request: ModelRequest) -> dict[str, Any]:
    """The arguments of `messages.create`, without sampling parameters: API 2026-10-21 rejects them with 400."""
    arguments: dict[str, Any] = {
        "model": request.model,
        "messages": _messages(request),
        "max_tokens": request.max_output_tokens,
    }
    instructions = [m for m in request.messages if m.role == "system"]
    if request.output_schema == ANY_OBJECT:  # the API has no mode for an object without a schema
        instructions.append(Message("system", _ANY_OBJECT_PROMPT))
    if system := _system(instructions):
        arguments["system"] = system
    if request.tools:
        arguments["tools"] = [
            {"name": t.name, "description": t.description, "input_schema": dict(t.parameters)} for t in request.tools
        ]
        if choice := _tool_choice(request):
            arguments["tool_choice"] = choice
    thinking = request.parameters.get("thinking")
    if _lacks_thinking(request):
        arguments["thinking"] = {"type": "disabled"}
    elif thinking is not None:
        arguments["thinking"] = thinking
    if request.stop:
        arguments["stop_sequences"] = list(request.stop)
    if output := _output_config(request):
        arguments["output_config"] = output
    _mark_for_cache(arguments)
    return arguments


def _output_config(request: ModelRequest) -> dict[str, Any]:
    output: dict[str, Any] = {}
    if request.output_schema is not None and request.output_schema != ANY_OBJECT:
        output["format"] = {"type": "json_schema", "schema": _schema(request.output_schema)}
    # With a budget of thinking, the effort is what other models get instead of it.
    has_budget = request.parameters.get("thinking", {}).get("type") == "enabled"
    if (effort := CLAUDE_EFFORTS.get(request.parameters.get("reasoning_effort"))) and not has_budget:
        output["effort"] = effort
    return output


def _system(instructions: list[Message]) -> str | list[dict[str, Any]]:
    """The system prompt: blocks when a client marked a part for the cache, else text."""
    if any(message.cached_parts for message in instructions):
        return [block for message in instructions for block in _blocks(message)]
    return "\n\n".join(message.content for message in instructions)


def _mark_for_cache(arguments: dict[str, Any]) -> None:
    """Keeps the client's last marks, as many as the API takes; without any, marks a long prompt that was sent before.

    A mark covers everything before it, tools first. Writing to the cache costs a quarter more than input, reading a
    tenth of it. So a prompt is marked from the second call of a conversation on: its next call reads it.
    """
    system, messages = arguments.get("system"), arguments["messages"]
    blocks = list(system) if isinstance(system, list) else []
    blocks += [block for message in messages for block in message["content"]]
    marked = [block for block in blocks if "cache_control" in block]
    for block in marked[:-_MAX_CACHE_MARKS]:
        del block["cache_control"]
    if marked or not any(message["role"] == "assistant" for message in messages) or not _is_long(arguments):
        return
    if isinstance(system, str):
        arguments["system"] = [{"type": "text", "text": system} | _MARK]
    last = messages[-1]["content"]
    last[-1] = last[-1] | _MARK


def _is_long(arguments: dict[str, Any]) -> bool:
    """Whether Claude may cache the prompt: it caches none below 1,024 tokens, of some models none below 4,096."""
    prompt = (arguments.get(name) for name in ("tools", "system", "messages"))
    return len(json.dumps(list(prompt), default=str)) >= _MIN_CACHED_CHARACTERS


def _lacks_thinking(request: ModelRequest) -> bool:
    """Whether tool calls of the current turn lack Claude's thinking blocks, which thinking mode requires."""
    current = takewhile(lambda message: message.role != "user", reversed(request.messages))
    return any(m.tool_calls and not (m.native and m.native.provider == NAME) for m in current)


def _tool_choice(request: ModelRequest) -> dict[str, Any]:
    if not request.may_call_tools:
        return {"type": "none"}
    named = {"type": "tool", "name": request.must_call} if isinstance(request.must_call, str) else {"type": "any"}
    choice: dict[str, Any] = named if request.must_call else {"type": "auto"}
    if request.may_call_in_parallel:
        return choice if request.must_call else {}
    return choice | {"disable_parallel_tool_use": True}


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema in the dialect of Claude's API; unchanged if the SDK cannot convert it."""
    try:
        return transform_schema(dict(schema))
    except PARSE_ERRORS:
        return dict(schema)


def _messages(request: ModelRequest) -> list[dict[str, Any]]:
    """The conversation, from the first user message on; the results of one round of tools share a message."""
    messages: list[dict[str, Any]] = []
    for message in request.messages:
        if message.role == "system" or (not messages and message.role != "user"):
            continue
        if message.role == "tool":
            _add_result(messages, message)
        elif blocks := _blocks(message):
            messages.append({"role": message.role, "content": blocks})
    return messages


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.native and message.native.provider == NAME:
        return [block for block in message.native.content if block.get("type") != "text" or block["text"].strip()]
    blocks = [
        _block(part) | (_MARK if place in message.cached_parts else {})
        for place, part in enumerate(_parts(message))
        if not isinstance(part, str) or part.strip()
    ]
    return blocks + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        for call in message.tool_calls
    ]


def _parts(message: Message) -> tuple[Part, ...]:
    """The texts and images; an assistant's text without white space at its end, which the API refuses in a prefill."""
    return message.parts or (message.content.rstrip() if message.role == "assistant" else message.content,)


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    if isinstance(part, Document):
        return {"type": "document", "source": source, "title": part.name}
    return {"type": "image", "source": source}


def _add_result(messages: list[dict[str, Any]], message: Message) -> None:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}
    if message.is_error:
        result["is_error"] = True
    if message.cached_parts:
        result |= _MARK
    latest = messages[-1] if messages else None
    if latest and latest["role"] == "user" and latest["content"][0]["type"] == "tool_result":
        latest["content"].append(result)
    else:
        messages.append({"role": "user", "content": [result]})


def usage_of(
    latest: types.Usage | types.MessageDeltaUsage | None, start: types.Usage | None, *, is_placeholder: bool = False
) -> Usage | None:
    """Claude's counts as Usage: cached tokens are added to the input, thinking is part of the output.

    A count that `latest` lacks is taken from `start`, whose output count is a placeholder. None if counts are missing,
    as the SDK does not check what a proxy sends. Input counts that are all zero do not replace those of `start`.
    """
    fresh, read, written = _input_counts(latest, start)
    if fresh == read == written == 0:
        fresh, read, written = _input_counts(start, start)
    if not all(isinstance(each, int) and each >= 0 for each in (fresh, read, written)):
        return None
    output_tokens = 0 if is_placeholder else getattr(latest, "output_tokens", None)
    thinking = getattr(getattr(latest, "output_tokens_details", None), "thinking_tokens", None)
    return parse_usage(fresh + read + written, output_tokens, read, thinking, written=written)


def _input_counts(latest: Any, start: Any) -> tuple[Any, Any, Any]:
    """Tokens that no cache had, read from the cache and written to it; None or another value for a wrong first one."""

    def count(name: str) -> Any:
        found = getattr(latest, name, None)
        return getattr(start, name, None) if found is None else found

    return (
        count("input_tokens"),
        count("cache_read_input_tokens") or 0,
        count("cache_creation_input_tokens") or 0,
    )


def stop_reason_of(reason: str | None) -> StopReason:
    """Our stop reason; `truncated` without one, or for an unknown one."""
    return _STOP_REASONS.get(reason or "", "truncated")

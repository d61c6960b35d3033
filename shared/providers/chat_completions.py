"""Converts requests and chunks to and from OpenAI's chat completions; without network access."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from shared.errors import ProviderError, ProviderOverloaded
from shared.events import Finish, ModelEvent, Reasoning, Refusal, StopReason, Text, Usage
from shared.lenient_json import read_json
from shared.messages import ANY_OBJECT, Format, Image, Message, ModelRequest, Tool
from shared.providers.contract import ListedModel
from shared.providers.provider_errors import MAX_TOKENS, error_for_status, parse_usage
from shared.providers.tool_calls import tool_call
from shared.sanitize import sanitize_text

_STOP_REASONS: dict[str, StopReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "filtered",
}
_MAX_CALLS, _MAX_ARGUMENTS = 128, 1024 * 1024
_MAX_NAME = 150  # the catalogue allows 200, with the prefix client:<node>:


def request_body(request: ModelRequest, limit_field: str = "max_tokens") -> dict[str, Any]:
    """The body of a streaming request with usage."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in _with_one_prompt(request.messages)],
        limit_field: request.max_output_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    body |= request.parameters
    if request.tools:
        body["tools"] = [{"type": "function", "function": _offered(tool)} for tool in request.tools]
        body |= _tool_choice(request)
    if request.stop:
        body["stop"] = list(request.stop)
    if request.output_schema == ANY_OBJECT:
        body["response_format"] = {"type": "json_object"}
    elif request.output_schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": _json_schema(request.output_schema, request.output_format),
        }
    return body


def _offered(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return function if tool.is_strict is None else function | {"strict": tool.is_strict}


def _json_schema(schema: Mapping[str, Any], form: Format) -> dict[str, Any]:
    is_strict = _is_strict(schema) if form.is_strict is None else form.is_strict
    wanted = {"name": form.name, "schema": schema, "strict": is_strict}
    return wanted if form.description is None else wanted | {"description": form.description}


def _tool_choice(request: ModelRequest) -> dict[str, Any]:
    """The `tool_choice` fields; empty for free choice, as some hosts reject the value `auto`."""
    if not request.may_call_tools:
        return {"tool_choice": "none"}
    choice: dict[str, Any] = {} if request.may_call_in_parallel else {"parallel_tool_calls": False}
    if isinstance(request.must_call, str):
        return choice | {"tool_choice": {"type": "function", "function": {"name": request.must_call}}}
    return choice | {"tool_choice": "required"} if request.must_call else choice


def _is_strict(schema: Any) -> bool:
    """Whether OpenAI accepts the schema as strict: every object is closed, every property required."""
    if isinstance(schema, list):
        return all(_is_strict(each) for each in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and (
        schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties)
    ):
        return False
    return all(_is_strict(each) for each in schema.values())


def _with_one_prompt(messages: tuple[Message, ...]) -> list[Message]:
    """The messages, with the system messages at the start as one: some chat templates take one only."""
    first = [message.content for message in takewhile(lambda message: message.role == "system", messages)]
    rest = messages[len(first) :]
    return [Message("system", "\n\n".join(first)), *rest] if first else [*rest]


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    if not message.tool_calls:
        content = [_part(part) for part in message.parts] if message.images else message.content
        return {"role": message.role, "content": content}
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.text}} for c in message.tool_calls
    ]
    return {"role": message.role, "content": message.content or None, "tool_calls": calls}


def _part(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    url = f"data:{part.media_type};base64,{part.data}"
    return {"type": "image_url", "image_url": {"url": url, "detail": part.detail}}


class ChunkParser:
    """Converts chunks, one JSON text each, to ModelEvents."""

    def __init__(self, provider: str, *, has_tools: bool = False) -> None:
        self.is_done = False
        self._provider, self._has_tools = provider, has_tools
        self._stop: str | None = None
        self._calls: list[dict[str, str]] = []
        self._is_full = False

    def feed(self, data: str) -> list[ModelEvent]:
        """Events of one chunk. Raises ProviderError for an error in the stream, PARSE_ERRORS for a malformed chunk."""
        if data == "[DONE]":
            self.is_done = True
            return []
        chunk = read_json(data)
        if chunk.get("error"):
            raise self._error_of(chunk["error"])
        events: list[ModelEvent] = []
        for choice in (chunk.get("choices") or [])[:1]:
            delta = choice.get("delta") or {}
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            if thought and isinstance(thought, str):
                events.append(Reasoning(thought))
            refusal, text = delta.get("refusal"), delta.get("content")
            if refusal and isinstance(refusal, str):
                self._stop = "content_filter"
                events.append(Refusal(refusal))
            if text and isinstance(text, str):
                events.append(Text(text))
            for piece in (delta.get("tool_calls") or []) if self._has_tools else ():
                self._collect(piece)
            self._stop = self._stop or choice.get("finish_reason")
        if usage := read_usage(chunk.get("usage")):  # the usage chunk has empty choices
            events.append(usage)
        return events

    def finish(self) -> list[ModelEvent]:
        """The tool calls and the Finish; `truncated` if the stream had no stop reason."""
        if self._stop is None:
            return [Finish("truncated")]
        calls = [tool_call(c["id"], c["name"], c["arguments"]) for c in self._calls]
        reason = _STOP_REASONS.get(self._stop, "stop")
        if reason == "length" and any(call.broken is not None for call in calls):
            return [Finish(reason)]
        return [*calls, Finish("tool_calls" if calls else reason)]

    def _error_of(self, error: Any) -> ProviderError:
        """The error inside a 200. Hosts put a status or a word into `code`, or send a sentence only."""
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, int) and 400 <= code < 600:
            return error_for_status(self._provider, code)
        return ProviderOverloaded("The provider broke off with an error inside its answer.")

    def _collect(self, piece: dict[str, Any]) -> None:
        """Adds a piece of a call. A new id, or a name without id, starts a call: some hosts send index 0 always."""
        function = piece.get("function") or {}
        latest = self._calls[-1] if self._calls else None
        is_new = latest is None or bool(piece["id"] != latest["id"] if piece.get("id") else function.get("name"))
        self._is_full = self._is_full or (is_new and len(self._calls) >= _MAX_CALLS)
        if self._is_full:
            return  # drop the rest; Toolbox reports its limit to the model
        if latest is None or is_new:
            latest = {"id": piece.get("id") or "", "name": "", "arguments": ""}
            self._calls.append(latest)
        latest["name"] = latest["name"] or function.get("name") or ""
        arguments = function.get("arguments")
        latest["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""
        if len(latest["arguments"]) > _MAX_ARGUMENTS:
            raise ValueError("too much in a tool call")


def read_usage(usage: Any) -> Usage | None:
    """OpenAI's counts as Usage: prompt includes cached, completion includes reasoning. None if missing or wrong."""
    if not isinstance(usage, dict):
        return None
    return parse_usage(
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        _detail(usage.get("prompt_tokens_details"), "cached_tokens"),
        _detail(usage.get("completion_tokens_details"), "reasoning_tokens"),
    )


def _detail(details: Any, name: str) -> Any:
    return details.get(name) if isinstance(details, dict) else None


def read_error_code(body: bytes) -> str | None:
    """The machine code of an error response, else its type; None for any other body."""
    try:
        error = json.loads(body)["error"]
        code = error.get("code") or error.get("type")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return code if isinstance(code, str) else None


def read_error_reason(body: bytes) -> str | None:
    """The sentence of an error response; None for any other body."""
    try:
        value = json.loads(body)
        error = value.get("error") or value
        reason = error if isinstance(error, str) else error.get("message")
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return reason if isinstance(reason, str) else None


def read_model_list(body: Any) -> list[ListedModel]:
    """The models of `GET /models`, with the context window that llama.cpp and vLLM send.

    Names are untrusted: entries that cannot be identifiers are left out. Raises ValueError if all are.
    """
    listed = []
    for entry in body["data"]:
        upstream_id = entry.get("id") if isinstance(entry, dict) else None
        if not (isinstance(upstream_id, str) and upstream_id.isprintable() and 0 < len(upstream_id) <= _MAX_NAME):
            continue
        name, meta = entry.get("name"), entry.get("meta")
        window = entry.get("max_model_len") or (meta.get("n_ctx_train") if isinstance(meta, dict) else None)
        has_window = isinstance(window, int) and not isinstance(window, bool) and 0 < window <= MAX_TOKENS
        capabilities = {"context_window": window} if has_window else {}
        listed.append(ListedModel(upstream_id, sanitize_text(str(name))[:_MAX_NAME] if name else None, capabilities))
    if body["data"] and not listed:
        raise ValueError("no entry is a model")
    return listed

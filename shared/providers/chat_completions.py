"""OpenAI's chat completions as JSON, to and from our own values; knows nothing of bytes, time or network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shared.errors import ProviderError, ProviderOverloaded
from shared.events import Finish, ModelEvent, Reasoning, StopReason, Text, Usage
from shared.messages import ANY_OBJECT, Format, Image, Message, ModelRequest, Tool
from shared.providers.contract import ListedModel
from shared.providers.provider_errors import error_for_status, parse_usage
from shared.providers.tool_calls import tool_call
from shared.sanitize import sanitize_text

_STOP_REASONS: dict[str, StopReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "filtered",
}
_MAX_CONTEXT_TOKENS = 100_000_000
_MAX_CALLS, _MAX_ARGUMENTS = 128, 1024 * 1024
_MAX_NAME = 150  # leaves room for client:<node>: in the catalogue's 200


def request_body(call: ModelRequest, limit_field: str = "max_tokens") -> dict[str, Any]:
    """A ModelRequest as chat completions' JSON, streaming and with usage asked for."""
    body: dict[str, Any] = {
        "model": call.model,
        "messages": [_message(message) for message in call.messages],
        limit_field: call.max_output_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if call.temperature is not None:
        body["temperature"] = call.temperature
    if call.tools:
        body["tools"] = [{"type": "function", "function": _offered(tool)} for tool in call.tools]
        body |= _tool_choice(call)
    if call.stop:
        body["stop"] = list(call.stop)
    if call.output_schema == ANY_OBJECT:
        body["response_format"] = {"type": "json_object"}
    elif call.output_schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": _wanted(call.output_schema, call.output_format),
        }
    return body


def _offered(tool: Tool) -> dict[str, Any]:
    told = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return told if tool.is_strict is None else told | {"strict": tool.is_strict}


def _wanted(schema: Mapping[str, Any], told: Format) -> dict[str, Any]:
    is_strict = _is_strict(schema) if told.is_strict is None else told.is_strict
    wanted = {"name": told.name, "schema": schema, "strict": is_strict}
    return wanted if told.description is None else wanted | {"description": told.description}


def _tool_choice(call: ModelRequest) -> dict[str, Any]:
    """Nothing where the model is free to choose: some hosts know the field by its other values only."""
    if not call.may_call_tools:
        return {"tool_choice": "none"}
    told: dict[str, Any] = {} if call.may_call_in_parallel else {"parallel_tool_calls": False}
    if isinstance(call.must_call, str):
        return told | {"tool_choice": {"type": "function", "function": {"name": call.must_call}}}
    return told | {"tool_choice": "required"} if call.must_call else told


def _is_strict(schema: Any) -> bool:
    """Whether OpenAI takes the schema as a strict one: every object closed, every property required."""
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


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    if not message.tool_calls:
        content = [_part(part) for part in message.parts] if message.parts else message.content
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
    """Chat completion chunks, one JSON text each, to events; knows nothing of bytes or time."""

    def __init__(self, provider: str, *, has_tools: bool = False) -> None:
        self.is_done = False
        self._provider, self._has_tools = provider, has_tools
        self._stop: str | None = None
        self._calls: list[dict[str, str]] = []
        self._is_full = False

    def feed(self, data: str) -> list[ModelEvent]:
        """Events of one chunk. Raises ProviderError for an error announced in the stream, ValueError for nonsense."""
        if data == "[DONE]":
            self.is_done = True
            return []
        chunk = json.loads(data)
        if chunk.get("error"):
            raise self._announced(chunk["error"])
        events: list[ModelEvent] = []
        for choice in (chunk.get("choices") or [])[:1]:
            delta = choice.get("delta") or {}
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            if thought and isinstance(thought, str):
                events.append(Reasoning(thought))
            if refusal := delta.get("refusal"):
                self._stop = "content_filter"
            text = delta.get("content") or refusal
            if text and isinstance(text, str):
                events.append(Text(text))
            for piece in (delta.get("tool_calls") or []) if self._has_tools else ():
                self._collect(piece)
            self._stop = self._stop or choice.get("finish_reason")
        if usage := read_usage(chunk.get("usage")):  # its own chunk has empty choices
            events.append(usage)
        return events

    def finish(self) -> list[ModelEvent]:
        """What the end of the stream completes; without a stop reason the answer was cut."""
        if self._stop is None:
            return [Finish("truncated")]
        calls = [tool_call(c["id"], c["name"], c["arguments"]) for c in self._calls]
        reason = _STOP_REASONS.get(self._stop, "stop")
        if reason == "length" and any(call.broken is not None for call in calls):
            return [Finish(reason)]
        return [*calls, Finish("tool_calls" if calls else reason)]

    def _announced(self, error: Any) -> ProviderError:
        """An error inside a 200: some hosts put a status into `code`, some a word, some send nothing but a sentence."""
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, int) and 400 <= code < 600:
            return error_for_status(self._provider, code)
        return ProviderOverloaded("The provider broke off with an error inside its answer.")

    def _collect(self, piece: dict[str, Any]) -> None:
        """A new id, or a new name without one, starts a new call: some hosts send every call with index 0."""
        function = piece.get("function") or {}
        latest = self._calls[-1] if self._calls else None
        is_new = latest is None or bool(piece["id"] != latest["id"] if piece.get("id") else function.get("name"))
        self._is_full = self._is_full or (is_new and len(self._calls) >= _MAX_CALLS)
        if self._is_full:
            return  # more than anybody runs: whoever runs the tools tells the model so
        if latest is None or is_new:
            latest = {"id": piece.get("id") or "", "name": "", "arguments": ""}
            self._calls.append(latest)
        latest["name"] = latest["name"] or function.get("name") or ""
        arguments = function.get("arguments")
        latest["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""
        if len(latest["arguments"]) > _MAX_ARGUMENTS:
            raise ValueError("too much in a tool call")


def read_usage(usage: Any) -> Usage | None:
    """OpenAI's counts are inclusive: cached in prompt, reasoning in completion. None for none, or for nonsense."""
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
    """The machine code of an error answer, or its type when it has none; None when the body is something else."""
    try:
        error = json.loads(body)["error"]
        code = error.get("code") or error.get("type")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return code if isinstance(code, str) else None


def read_model_list(answer: Any) -> list[ListedModel]:
    """`GET /models`; llama.cpp and vLLM tell the context window, OpenAI tells nothing but names.

    Names are untrusted text: what cannot be an identifier is left out. Raises ValueError when all of it is.
    """
    listed = []
    for entry in answer["data"]:
        upstream_id = entry.get("id") if isinstance(entry, dict) else None
        if not (isinstance(upstream_id, str) and upstream_id.isprintable() and 0 < len(upstream_id) <= _MAX_NAME):
            continue
        name, meta = entry.get("name"), entry.get("meta")
        window = entry.get("max_model_len") or (meta.get("n_ctx_train") if isinstance(meta, dict) else None)
        is_told = isinstance(window, int) and not isinstance(window, bool) and 0 < window <= _MAX_CONTEXT_TOKENS
        capabilities = {"context_window": window} if is_told else {}
        listed.append(ListedModel(upstream_id, sanitize_text(str(name))[:_MAX_NAME] if name else None, capabilities))
    if answer["data"] and not listed:
        raise ValueError("no entry is a model")
    return listed

"""Converts requests and chunks to and from OpenAI's chat completions; without network access."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from shared.events import Finish, ModelEvent, Reasoning, Refusal, StopReason, Text
from shared.lenient_json import read_json
from shared.messages import (
    ANY_OBJECT,
    CALLER,
    Document,
    Format,
    Message,
    ModelRequest,
    Part,
    ProviderPayload,
    Tool,
)
from shared.providers.call_pieces import CallPieces
from shared.providers.contents import ThinkTag, content_of, reasoning_of
from shared.providers.contract import ListedModel
from shared.providers.provider_errors import error_in_answer
from shared.providers.token_counts import MAX_TOKENS, read_usage
from shared.sanitize import sanitize_text

# In lower case; hosts use the words of several APIs. Every other reason means that the answer failed.
_STOP_REASONS: dict[str, StopReason] = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "eos_token"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length", "max_length"), "length"),
    **dict.fromkeys(("model_context_window_exceeded", "max_context_length", "token_limit"), "length"),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "safety", "refusal", "sensitive", "recitation", "blocklist"), "filtered"),
    **dict.fromkeys(("prohibited_content", "spii", "moderation", "filtered"), "filtered"),
}
_NO_DELTA = object()
_PADDING = " \t\r\n\0\ufeff"
_MAX_NAME = 150  # the catalogue allows 200, with the prefix client:<node>:


def request_body(request: ModelRequest, limit_field: str = "max_tokens", provider: str = "") -> dict[str, Any]:
    """The body of a streaming request with usage; `provider` gets back what it sent with its own tool calls."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message, provider) for message in _with_one_prompt(request.messages)],
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
    is_strict = is_strict_schema(schema) if form.is_strict is None else form.is_strict
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


def is_strict_schema(schema: Any) -> bool:
    """Whether OpenAI accepts the schema as strict: every object is closed, every property required."""
    if isinstance(schema, list):
        return all(is_strict_schema(each) for each in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and (
        schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties)
    ):
        return False
    return all(is_strict_schema(each) for each in schema.values())


def _with_one_prompt(messages: tuple[Message, ...]) -> list[Message]:
    """The messages, with the system messages at the start as one: some chat templates take one only."""
    first = [message.content for message in takewhile(lambda message: message.role == "system", messages)]
    rest = messages[len(first) :]
    return [Message("system", "\n\n".join(first)), *rest] if first else [*rest]


def _message(message: Message, provider: str) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    if not message.tool_calls:
        content = [_part(part) for part in message.parts] if message.has_files else message.content
        return {"role": message.role, "content": content}
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.text}} for c in message.tool_calls
    ]
    return {
        "role": message.role,
        "content": message.content or None,
        **_reasoning_for(provider, message),
        "tool_calls": calls,
    }


def _reasoning_for(provider: str, message: Message) -> dict[str, Any]:
    """The reasoning before a call, for its own provider. OpenAI has no field for what a caller kept of another one."""
    native = message.native
    if native is None or native.provider not in {provider, CALLER} or (native.provider, provider) == (CALLER, "openai"):
        return {}
    return dict(native.content)


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    url = f"data:{part.media_type};base64,{part.data}"
    if isinstance(part, Document):
        return {"type": "file", "file": {"filename": part.name, "file_data": url}}
    return {"type": "image_url", "image_url": {"url": url, "detail": part.detail}}


class ChunkParser:
    """Converts chunks, one JSON text each, to ModelEvents."""

    def __init__(self, provider: str, *, has_tools: bool = False) -> None:
        self.is_done = False
        self._provider, self._has_tools = provider, has_tools
        self._stop: str | None = None
        self._calls = CallPieces()
        self._think = ThinkTag()
        self._has_content = False
        self._thoughts: list[str] = []
        self._thought_field = ""

    def feed(self, data: str) -> list[ModelEvent]:
        """Events of one chunk. Raises ProviderError for an error in the stream, PARSE_ERRORS for a malformed chunk."""
        if not data.startswith("{"):
            data = data.strip(_PADDING)
            self.is_done = self.is_done or data == "[DONE]"
            if data in {"", "[DONE]"}:
                return []
        chunk = read_json(data)
        if chunk is None:
            return []
        choices = chunk.get("choices")
        if chunk.get("error") or (choices is None and isinstance(chunk.get("message") or chunk.get("detail"), str)):
            raise error_in_answer(self._provider, chunk.get("error") or chunk)
        events: list[ModelEvent] = []
        usage = chunk.get("usage")
        if choices and (choice := choices[0]) is not None:
            self._read_choice(choice, events)
            usage = usage or choice.get("usage")  # Moonshot's place
        if not usage and "x_groq" in chunk:
            usage = _usage_of_groq(chunk)
        if usage and (counted := read_usage(usage)):  # the usage chunk has empty choices
            events.append(counted)
        return events

    def finish(self) -> list[ModelEvent]:
        """What was held back, the tool calls and the Finish; `truncated` without a reason that means an end."""
        events: list[ModelEvent] = [*self._think.rest()]
        reason = self._reason()
        calls = self._calls.calls()
        if reason == "truncated" or (reason == "length" and any(call.broken is not None for call in calls)):
            return [*events, Finish(reason)]
        if not calls:
            return [*events, Finish("stop" if reason == "tool_calls" else reason)]
        native = None
        if self._thoughts:  # hosts that think before a call want their reasoning back with its result
            native = ProviderPayload(self._provider, {self._thought_field: "".join(self._thoughts)})
        return [*events, *calls, Finish("tool_calls", native)]

    def _read_choice(self, choice: dict[str, Any], events: list[ModelEvent]) -> None:
        if choice.get("error"):
            raise error_in_answer(self._provider, choice["error"])
        delta = choice.get("delta", _NO_DELTA)
        if delta is _NO_DELTA:
            delta = choice.get("message")  # the host sends the whole answer as one chunk
        if not delta:
            pass
        elif len(delta) == 1 and self._think.is_done and isinstance(text := delta.get("content"), str):  # most chunks
            if text:
                events.append(Text(text))
        else:
            self._read_delta(delta, events)
        if reason := choice.get("finish_reason"):
            self._stop = self._stop or str(reason)

    def _read_delta(self, delta: dict[str, Any], events: list[ModelEvent]) -> None:
        thought, name = reasoning_of(delta)
        if thought:
            events.append(Reasoning(thought))
            self._thoughts.append(thought)
            self._thought_field = name
        content, refusal = delta.get("content"), delta.get("refusal")
        if refusal and isinstance(refusal, str):
            self._stop = "content_filter"
            events.append(Refusal(refusal))
        if content:
            self._has_content = True
            if self._think.is_done and isinstance(content, str):
                events.append(Text(content))
            else:
                self._read_content(content, events)
        if self._has_tools:
            pieces = delta.get("tool_calls")
            for piece in pieces if isinstance(pieces, list) else [pieces] if pieces else ():
                self._read_call(piece, events)
            if isinstance(function := delta.get("function_call"), dict):  # its name before there were several calls
                self._read_call({"index": 0, "function": function}, events)

    def _read_call(self, piece: Any, events: list[ModelEvent]) -> None:
        if (added := self._calls.add(piece)) is not None:
            events.append(added)

    def _read_content(self, content: Any, events: list[ModelEvent]) -> None:
        for piece in content_of(content):
            if isinstance(piece, Text):
                events.extend(self._think.read(piece.text))
            else:
                events.append(piece)

    def _reason(self) -> StopReason:
        if self._stop is None:
            return "stop" if self.is_done and (self._has_content or self._calls.calls()) else "truncated"
        return _STOP_REASONS.get(self._stop.strip().lower(), "truncated")


def _usage_of_groq(chunk: dict[str, Any]) -> Any:
    groq = chunk.get("x_groq")
    return groq.get("usage") if isinstance(groq, dict) else None


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

"""Converts requests and events to and from OpenAI's responses, for models that want it; without network access.

Some models answer chat completions with 400 when tools come with an effort of reasoning. Responses also give the
reasoning back, encrypted, which the next call of the same turn sends again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from shared.events import CallPiece, Finish, ModelEvent, Reasoning, Refusal, Signature, StopReason, Text
from shared.lenient_json import read_json
from shared.messages import ANY_OBJECT, Document, Message, ModelRequest, Part, ProviderPayload, Tool
from shared.providers.chat_completions import is_strict_schema
from shared.providers.provider_errors import error_in_answer
from shared.providers.token_counts import read_usage
from shared.providers.tool_calls import tool_call, usual_id, usual_name

NATIVE: Final = "openai-responses"  # of payloads, which chat completions do not know
PATH: Final = "/responses"
_PIECES: Final[dict[Any, type[Text | Reasoning | Refusal]]] = {
    "response.output_text.delta": Text,
    "response.reasoning_summary_text.delta": Reasoning,
    "response.reasoning_text.delta": Reasoning,
    "response.refusal.delta": Refusal,
}
_INCOMPLETE: Final[dict[str, StopReason]] = {"max_output_tokens": "length", "content_filter": "filtered"}
_OWN_PLACES: Final = {"reasoning_effort", "verbosity"}


def request_body(request: ModelRequest) -> dict[str, Any]:
    """The body of a streaming request that OpenAI does not store."""
    body: dict[str, Any] = {
        "model": request.model,
        "input": [item for message in request.messages for item in _items(message)],
        "max_output_tokens": max(16, request.max_output_tokens),  # OpenAI takes no less
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    body |= {name: value for name, value in request.parameters.items() if name not in _OWN_PLACES}
    if effort := request.parameters.get("reasoning_effort"):
        body["reasoning"] = {"effort": effort}
    if request.tools:
        body["tools"] = [_offered(tool) for tool in request.tools]
        body |= _tool_choice(request)
    if text := _text(request):
        body["text"] = text
    return body


def _offered(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "strict": bool(tool.is_strict)} | function  # strict is OpenAI's default here


def _tool_choice(request: ModelRequest) -> dict[str, Any]:
    if not request.may_call_tools:
        return {"tool_choice": "none"}
    choice: dict[str, Any] = {} if request.may_call_in_parallel else {"parallel_tool_calls": False}
    if isinstance(request.must_call, str):
        return choice | {"tool_choice": {"type": "function", "name": request.must_call}}
    return choice | {"tool_choice": "required"} if request.must_call else choice


def _text(request: ModelRequest) -> dict[str, Any]:
    text: dict[str, Any] = {}
    schema, form = request.output_schema, request.output_format
    if schema == ANY_OBJECT:
        text["format"] = {"type": "json_object"}
    elif schema is not None:
        is_strict = is_strict_schema(schema) if form.is_strict is None else form.is_strict
        text["format"] = {"type": "json_schema", "name": form.name, "schema": dict(schema), "strict": is_strict}
    if verbosity := request.parameters.get("verbosity"):
        text["verbosity"] = verbosity
    return text


def _items(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": message.content}
        return
    if message.native and message.native.provider == NATIVE:
        yield from message.native.content
        return
    if message.has_files:
        yield {"role": message.role, "content": [_part(part) for part in message.parts]}
    elif message.content or not message.tool_calls:
        yield {"role": message.role, "content": message.content}
    for call in message.tool_calls:
        yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.text}


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    url = f"data:{part.media_type};base64,{part.data}"
    if isinstance(part, Document):
        return {"type": "input_file", "filename": part.name, "file_data": url}
    return {"type": "input_image", "image_url": url, "detail": part.detail}


class EventParser:
    """Converts events, one JSON text each, to ModelEvents."""

    def __init__(self, provider: str) -> None:
        self.is_done = False
        self._provider = provider
        self._calls: dict[Any, dict[str, Any]] = {}  # the open ones, by their place in the output
        self._has_calls = False
        self._output: list[dict[str, Any]] = []  # for the next call of the turn
        self._reason: StopReason = "truncated"

    def feed(self, data: str) -> list[ModelEvent]:
        """Events of one event. Raises ProviderError for an error in the stream, PARSE_ERRORS for a malformed one."""
        event = read_json(data) if data.startswith("{") else None
        if event is None:
            return []
        kind = event.get("type")
        if kind in _PIECES:
            return [_PIECES[kind](event["delta"])] if event["delta"] else []
        match kind:
            case "response.function_call_arguments.delta":
                return self._arguments(event["output_index"], event["delta"])
            case "response.output_item.added":
                return self._added(event["output_index"], event["item"])
            case "response.output_item.done":
                return self._completed(event["output_index"], event["item"])
            case "response.completed" | "response.incomplete":
                return self._end(event["response"])
            case "response.failed":
                raise error_in_answer(self._provider, event["response"].get("error"))
            case "error":
                raise error_in_answer(self._provider, event.get("error") or event)
            case _:
                return []

    def finish(self) -> list[ModelEvent]:
        """The Finish; `truncated` without an end."""
        reason = self._reason
        if reason == "stop" and self._has_calls:
            has_reasoning = any(item.get("type") == "reasoning" for item in self._output)
            return [Finish("tool_calls", ProviderPayload(NATIVE, self._output) if has_reasoning else None)]
        return [Finish(reason)]

    def _arguments(self, place: Any, text: str) -> list[ModelEvent]:
        call = self._calls.get(place)
        return [CallPiece(call["call_id"], call["name"], text)] if call else []

    def _added(self, place: Any, item: dict[str, Any]) -> list[ModelEvent]:
        if item.get("type") != "function_call":
            return []
        call = {"call_id": usual_id(item["call_id"]), "name": usual_name(item["name"])}
        self._calls[place] = call
        return [CallPiece(call["call_id"], call["name"], item.get("arguments") or "")]

    def _completed(self, place: Any, item: dict[str, Any]) -> list[ModelEvent]:
        if item.get("type") == "reasoning" and item.get("encrypted_content"):
            kept = ("type", "id", "summary", "encrypted_content")
            self._output.append({name: item[name] for name in kept if name in item})
            return [Signature(f"{item['id']}:{item['encrypted_content']}", provider=NATIVE)]
        if item.get("type") == "message":
            text = "".join(part.get("text") or "" for part in item.get("content") or ())
            self._output.append({"role": "assistant", "content": text})
        if item.get("type") != "function_call" or item.get("status") == "incomplete":
            return []
        named = self._calls.pop(place, None) or item
        call = tool_call(named["call_id"], named["name"], item.get("arguments") or "")
        self._has_calls = True
        self._output.append({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.text})
        return [call]

    def _end(self, response: dict[str, Any]) -> list[ModelEvent]:
        self.is_done = True
        details = response.get("incomplete_details") or {}
        is_complete = response.get("status") != "incomplete"
        self._reason = "stop" if is_complete else _INCOMPLETE.get(str(details.get("reason")), "truncated")
        counted = read_usage(response.get("usage"))
        return [counted] if counted else []

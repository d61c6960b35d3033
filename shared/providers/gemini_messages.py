"""Converts messages, usage and stop reasons to and from Gemini's API; without network access."""

from __future__ import annotations

from base64 import b64decode
from typing import Final

from google.genai import types

from shared.events import StopReason, Usage
from shared.messages import Message, ModelRequest, Part, ProviderPayload
from shared.providers.token_counts import parse_usage

NAME: Final = "google"

_STOP_REASONS: dict[str, StopReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "filtered",
    "RECITATION": "filtered",
    "BLOCKLIST": "filtered",
    "PROHIBITED_CONTENT": "filtered",
    "SPII": "filtered",
    "LANGUAGE": "filtered",
    "MODEL_ARMOR": "filtered",
    "IMAGE_SAFETY": "filtered",
    "IMAGE_PROHIBITED_CONTENT": "filtered",
    "IMAGE_RECITATION": "filtered",
}
# Gemini 3 rejects a call of the current turn without a signature; this value is for calls of other providers.
_SKIP_SIGNATURE = b"skip_thought_signature_validator"


def system_of(request: ModelRequest) -> str | None:
    """The system messages, joined."""
    return "\n\n".join(m.content for m in request.messages if m.role == "system") or None


def contents_of(request: ModelRequest) -> list[types.ContentUnionDict]:
    """The conversation, from the first user message on; the results of one round of tools share a content."""
    names = {c.id: c.name for message in request.messages for c in message.tool_calls}
    contents: list[types.Content] = []
    for message in request.messages:
        if message.role == "system" or (not contents and message.role != "user"):
            continue
        if message.role == "tool":
            _add_result(contents, _result(message, names))
        elif (content := _content(message)).parts:
            contents.append(content)
    return [*contents]


def _content(message: Message) -> types.Content:
    if message.role == "assistant":
        return _model_content(message)
    parts = [_part(part) for part in message.parts or (message.content,) if not isinstance(part, str) or part.strip()]
    return types.Content(role="user", parts=parts)


def _part(part: Part) -> types.Part:
    if isinstance(part, str):
        return types.Part(text=part)
    return types.Part(inline_data=types.Blob(mime_type=part.media_type, data=b64decode(part.data)))


def _model_content(message: Message) -> types.Content:
    if message.native and message.native.provider == NAME:
        return types.Content(role="model", parts=[types.Part.model_validate(part) for part in message.native.content])
    parts = [types.Part(text=message.content)] if message.content else []
    for place, call in enumerate(message.tool_calls):
        function_call = types.FunctionCall(id=call.id, name=call.name, args=dict(call.arguments))
        signature = _SKIP_SIGNATURE if place == 0 else None
        parts.append(types.Part(function_call=function_call, thought_signature=signature))
    return types.Content(role="model", parts=parts)


def _result(message: Message, names: dict[str, str]) -> types.Part:
    call_id = message.tool_call_id or ""
    response = {"error" if message.is_error else "output": message.content}
    return types.Part(
        function_response=types.FunctionResponse(id=call_id, name=names.get(call_id, ""), response=response)
    )


def _add_result(contents: list[types.Content], part: types.Part) -> None:
    latest = contents[-1] if contents else None
    if latest and latest.parts and latest.parts[0].function_response:
        latest.parts.append(part)
    else:
        contents.append(types.Content(role="user", parts=[part]))


def native_of(parts: list[types.Part]) -> ProviderPayload:
    """Gemini's parts as JSON, thought signatures included."""
    return ProviderPayload(NAME, [part.model_dump(mode="json", exclude_none=True) for part in parts])


def usage_of(metadata: types.GenerateContentResponseUsageMetadata | None) -> Usage | None:
    """Gemini's counts as Usage: the prompt includes cached tokens, thoughts are added to the candidates."""
    if metadata is None or metadata.prompt_token_count is None:
        return None
    return parse_usage(
        metadata.prompt_token_count + (metadata.tool_use_prompt_token_count or 0),
        metadata.candidates_token_count,
        metadata.cached_content_token_count,
        metadata.thoughts_token_count,
        metadata.total_token_count,
        is_reasoning_apart=True,
    )


def stop_reason_of(finish_reason: str | None, *, has_calls: bool) -> StopReason:
    """Our stop reason; `truncated` for an unknown or missing one. Gemini sends STOP for tool calls, too."""
    reason = _STOP_REASONS.get(finish_reason or "", "truncated")
    return "tool_calls" if has_calls and reason == "stop" else reason

"""Anthropic's messages, API version 2026-10-21."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web

from tests.fakes.providers.wire import (
    OVERLOADED,
    THOUGHT,
    Answer,
    Asked,
    Json,
    Refusal,
    Reply,
    Script,
    ToolUse,
    event,
    text_in,
)

_STOP = {"length": "max_tokens", "filtered": "refusal", "blocked": "refusal", "early": None}
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OUR_CALL = re.compile(r"toolu_01([0-9a-f]{12})\d\d")


class Anthropic:
    """The dialect."""

    overload_status = 529

    def key_of(self, request: web.Request) -> str | None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return bearer or request.headers.get("x-api-key", "")

    def read(self, request: web.Request, body: Json) -> Asked:  # noqa: ARG002 - the dialects' common form
        messages = body.get("messages") or [{}]
        questions = [text_in(m.get("content")) for m in messages if m.get("role") == "user"]
        last = _blocks(messages[-1])
        return Asked(
            model=str(body.get("model", "")),
            text=next((question for question in reversed(questions) if question), ""),
            tool_results=tuple(text_in(b.get("content")) for b in last if b.get("type") == "tool_result"),
            tools=tuple(tool["name"] for tool in body.get("tools") or ()),
            wants_schema=bool((body.get("output_config") or {}).get("format")),
            has_answered=any(m.get("role") == "assistant" for m in messages),
            is_streaming=bool(body.get("stream")),
        )

    def fault_of(self, body: Json) -> str | None:
        for name in ("temperature", "top_p", "top_k"):
            if name in body:
                return f"{name}: Extra inputs are not permitted"
        if "max_tokens" not in body:
            return "max_tokens: Field required"
        messages = body.get("messages")
        if not messages:
            return "messages: at least one message is required"
        is_thinking = (body.get("thinking") or {}).get("type") != "disabled"
        found = (_fault_of_message(messages, place, is_thinking=is_thinking) for place in range(len(messages)))
        return next((fault for fault in found if fault), None)

    def refuse(self, refusal: Refusal) -> Reply:
        status, message = refusal.status, refusal.message
        kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        if refusal.reason == "key":
            message = "invalid x-api-key"
        if refusal.reason == "credit":
            status, message = 400, "Your credit balance is too low to access the Anthropic API."
        body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"}
        return Reply(status, body, refusal.headers | {"request-id": "req_scripted"})

    def answer(self, asked: Asked, script: Script, body: Json) -> Answer:  # noqa: ARG002 - the dialects' common form
        return _Answer(asked, script)


def _blocks(message: Json) -> list[Json]:
    content = message.get("content") or []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _fault_of_message(messages: list[Json], place: int, *, is_thinking: bool) -> str | None:
    message, blocks = messages[place], _blocks(messages[place])
    if message.get("role") not in {"user", "assistant"}:
        return f"messages.{place}.role: Input should be 'user' or 'assistant'"
    if not blocks or any(block.get("type") == "text" and not block.get("text") for block in blocks):
        return f"messages.{place}: text content blocks must be non-empty"
    before = _ids(_blocks(messages[place - 1]), "tool_use", "id") if place else set()
    answered = _ids(blocks, "tool_result", "tool_use_id")
    if answered - before:
        return f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks"
    following = _blocks(messages[place + 1]) if place + 1 < len(messages) else []
    if _ids(blocks, "tool_use", "id") - _ids(following, "tool_result", "tool_use_id"):
        return f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after"
    return _fault_of_thinking(blocks, place) if is_thinking else None


def _fault_of_thinking(blocks: list[Json], place: int) -> str | None:
    """A turn of ours with tool calls comes back with its thinking before them, as it was."""
    thinking: Json = {}
    for block in blocks:
        if block.get("type") == "thinking":
            thinking = block
        elif block.get("type") == "tool_use" and (ours := _OUR_CALL.fullmatch(block["id"])):
            if not thinking:
                return f"messages.{place}.content.0.type: Expected `thinking`, but found `{blocks[0]['type']}`"
            if (thinking.get("thinking"), thinking.get("signature")) != (THOUGHT, _signature(ours[1])):
                return f"messages.{place}.content.0: Invalid `signature` in `thinking` block"
    return None


def _ids(blocks: list[Json], kind: str, field: str) -> set[str]:
    return {block[field] for block in blocks if block.get("type") == kind}


def _signature(nonce: str) -> str:
    return base64.b64encode(f"thought {nonce}".encode()).decode()


class _Answer(Answer):
    def __init__(self, asked: Asked, script: Script) -> None:
        self._script = script
        self._nonce = secrets.token_hex(6)
        self._index, self._open = -1, ""
        self._message: Json = {
            "id": f"msg_01{self._nonce}",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
        }

    def opening(self) -> Iterator[bytes]:
        yield _event("message_start", message=self._message | self._usage_at_start())
        yield _event("ping")

    def thought(self, text: str) -> Iterator[bytes]:
        yield from self._begin({"type": "thinking", "thinking": "", "signature": ""})
        yield self._delta("thinking_delta", thinking=text)
        yield self._delta("signature_delta", signature=_signature(self._nonce))

    def text_frames(self, piece: str) -> Iterator[bytes]:
        if self._script.calls and not self._open:
            yield from self.thought(THOUGHT)
        if self._open != "text":
            yield from self._begin({"type": "text", "text": ""})
        yield self._delta("text_delta", text=piece)

    def called(self, calls: Iterable[ToolUse]) -> Iterator[bytes]:
        if not self._open:
            yield from self.thought(THOUGHT)
        for block in self._tool_uses(calls):
            yield from self._begin(block | {"input": {}})
            yield self._delta("input_json_delta", partial_json="")
            written = json.dumps(block["input"], ensure_ascii=False)
            for start in range(0, len(written), 7):
                yield self._delta("input_json_delta", partial_json=written[start : start + 7])

    def broken(self) -> Iterator[bytes]:
        yield event(b'{"type": "content_block_delta", "index": 0, "delta": {', "content_block_delta")

    def overloaded(self) -> Iterator[bytes]:
        yield _event("error", error={"type": "overloaded_error", "message": OVERLOADED})

    def closing(self) -> Iterator[bytes]:
        yield from self._end()
        yield _event("message_delta", delta=self._stopped(), **self._usage_at_end())
        yield _event("message_stop")

    def whole(self) -> Json:
        content: list[Json] = []
        if self._script.reasoning or self._script.calls:
            content.append({"type": "thinking", "thinking": THOUGHT, "signature": _signature(self._nonce)})
        if self._script.text:
            content.append({"type": "text", "text": self._script.text})
        content += self._tool_uses(self._script.calls)
        usage = self._usage_at_start().get("usage", {}) | self._usage_at_end().get("usage", {})
        return self._message | self._stopped() | {"content": content} | ({"usage": usage} if usage else {})

    def _tool_uses(self, calls: Iterable[ToolUse]) -> list[Json]:
        return [
            {"type": "tool_use", "id": f"toolu_01{self._nonce}{place:02d}", "name": name, "input": arguments}
            for place, (name, arguments) in enumerate(calls)
        ]

    def _begin(self, block: Json) -> Iterator[bytes]:
        yield from self._end()
        self._index, self._open = self._index + 1, block["type"]
        yield _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, kind: str, **fields: str) -> bytes:
        return _event("content_block_delta", index=self._index, delta={"type": kind, **fields})

    def _end(self) -> Iterator[bytes]:
        if self._open:
            yield _event("content_block_stop", index=self._index)

    def _stopped(self) -> Json:
        reason = "tool_use" if self._script.calls else _STOP.get(self._script.ending, "end_turn")
        refused = {"type": "refusal", "category": None, "explanation": None} if reason == "refusal" else None
        return {"stop_reason": reason, "stop_sequence": None, "stop_details": refused}

    def _usage_at_start(self) -> Json:
        """What was read from the cache comes on top of the input; the output is a placeholder."""
        if (tokens := self._script.tokens) is None:
            return {}
        counts = {
            "input_tokens": None if tokens.input is None else tokens.input - (tokens.cached or 0),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": tokens.cached,
            "output_tokens": 1,
            "service_tier": "standard",
        }
        return {"usage": counts}

    def _usage_at_end(self) -> Json:
        if (tokens := self._script.tokens) is None:
            return {}
        details = None if tokens.reasoning is None else {"thinking_tokens": tokens.reasoning}
        return {"usage": {"output_tokens": tokens.output, "output_tokens_details": details}}


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)

"""OpenAI's chat completions, as OpenAI, Hugging Face's router and a node (Ollama, llama.cpp, vLLM) speak them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from typing import Literal

from aiohttp import web

from tests.fakes.providers.wire import (
    OVERLOADED,
    Answer,
    Asked,
    Json,
    Refusal,
    Reply,
    Script,
    Tokens,
    ToolUse,
    event,
    text_in,
)

Flavour = Literal["openai", "hf", "node"]

_FINISH = {"length": "length", "filtered": "content_filter", "blocked": "content_filter", "early": None}
_BAD_KEY = "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
_NO_CREDIT = "You exceeded your current quota, please check your plan and billing details."
_HF_NO_CREDIT = "You have exceeded your monthly included credits for Inference Providers."
_ERRORS: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("request_forbidden", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


class OpenAi:
    """The dialect in one of its flavours."""

    overload_status = 503

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour

    def key_of(self, request: web.Request) -> str | None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        return key or (None if self._flavour == "node" else "")

    def read(self, request: web.Request, body: Json) -> Asked:  # noqa: ARG002 - the dialects' common form
        messages = body.get("messages") or [{}]
        results: list[str] = []
        for message in reversed(messages):
            if message.get("role") != "tool":
                break
            results.insert(0, text_in(message.get("content")))
        questions = [text_in(m.get("content")) for m in messages if m.get("role") == "user"]
        return Asked(
            model=str(body.get("model", "")),
            text=questions[-1] if questions else "",
            tool_results=tuple(results),
            tools=tuple(tool["function"]["name"] for tool in body.get("tools") or ()),
            wants_schema=(body.get("response_format") or {}).get("type") == "json_schema",
            schema=body.get("response_format") or messages,
            has_answered=any(m.get("role") == "assistant" for m in messages),
            is_streaming=bool(body.get("stream")),
        )

    def fault_of(self, body: Json) -> str | None:
        has_effort = body.get("reasoning_effort") not in {None, "none"}
        if str(body.get("model")).startswith("gpt-5.4") and body.get("tools") and has_effort:
            return "Function tools with reasoning_effort are not supported in /v1/chat/completions: use /v1/responses."
        pending: set[str] = set()
        for message in body.get("messages") or ():
            if message.get("role") == "tool":
                if message.get("tool_call_id") not in pending:
                    return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                pending.discard(message["tool_call_id"])
                continue
            if pending:
                return f"tool_call_ids did not have response messages: {', '.join(sorted(pending))}"
            pending = {call["id"] for call in message.get("tool_calls") or ()}
        return None

    def refuse(self, refusal: Refusal) -> Reply:
        if self._flavour == "hf" and refusal.status != 400:
            content = {"key": "Invalid username or password.", "credit": _HF_NO_CREDIT}
            return Reply(refusal.status, {"error": content.get(refusal.reason, refusal.message)}, refusal.headers)
        status, message = refusal.status, refusal.message
        kind, code = _ERRORS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
        if refusal.reason == "key":
            message = _BAD_KEY
        if refusal.reason == "credit":
            status, kind, code, message = 429, "insufficient_quota", "insufficient_quota", _NO_CREDIT
        error = {"message": message, "type": kind, "param": None, "code": code}
        return Reply(status, {"error": error}, refusal.headers | {"x-request-id": "req_scripted"})

    def answer(self, asked: Asked, script: Script, body: Json) -> Answer:
        return _Answer(self._flavour, asked, script, body)


class _Answer(Answer):
    def __init__(self, flavour: Flavour, asked: Asked, script: Script, body: Json) -> None:
        self._flavour, self._script = flavour, script
        self._tells_usage = bool((body.get("stream_options") or {}).get("include_usage")) and script.tokens is not None
        self._text = 0
        self._head = {
            "id": f"chatcmpl-{secrets.token_hex(6)}",
            "object": "chat.completion.chunk",
            "created": 1_760_000_000,
            "model": asked.model,
            "system_fingerprint": None,
        }

    def opening(self) -> Iterator[bytes]:
        if self._flavour == "hf":
            yield b": keep-alive\n\n"
        yield self._chunk({"role": "assistant", "content": ""})

    def thought(self, text: str) -> Iterator[bytes]:
        yield self._chunk({self._reasoning_field: text})

    def text_frames(self, piece: str) -> Iterator[bytes]:
        self._text += 1
        yield self._chunk({"content": piece})

    def called(self, calls: Iterable[ToolUse]) -> Iterator[bytes]:
        for index, call in enumerate(_calls(calls)):
            if self._flavour == "node":  # Ollama sends each call whole, and all of them with index 0
                yield self._chunk({"role": "assistant", "content": "", "tool_calls": [{"index": 0, **call}]})
                continue
            arguments = call["function"]["arguments"]
            named = {"index": index, **call, "function": call["function"] | {"arguments": ""}}
            yield self._chunk({"tool_calls": [named]})
            for start in range(0, len(arguments), 7):
                piece = {"index": index, "function": {"arguments": arguments[start : start + 7]}}
                yield self._chunk({"tool_calls": [piece]})

    def broken(self) -> Iterator[bytes]:
        yield event(b"{not json")

    def overloaded(self) -> Iterator[bytes]:
        error = {"message": OVERLOADED, "type": "server_error", "param": None, "code": None}
        yield event({"error": OVERLOADED if self._flavour == "hf" else error})

    def closing(self) -> Iterator[bytes]:
        yield self._chunk({}, self._finish)
        if self._script.tokens and (self._tells_usage or self._script.is_counting_along):
            yield event({**self._head, "choices": [], "usage": _usage(self._script.tokens)})
        yield event(b"[DONE]")

    def whole(self) -> Json:
        message: Json = {"role": "assistant", "content": self._script.text, "refusal": None}
        if self._script.reasoning:
            message[self._reasoning_field] = self._script.reasoning
        if self._script.calls:
            message["tool_calls"] = _calls(self._script.calls)
        choice = {"index": 0, "message": message, "finish_reason": self._finish, "logprobs": None}
        usage = {"usage": _usage(self._script.tokens)} if self._script.tokens else {}
        return {**self._head, "object": "chat.completion", "choices": [choice], **usage}

    @property
    def _reasoning_field(self) -> str:
        return "reasoning_content" if self._flavour == "node" else "reasoning"

    @property
    def _finish(self) -> str | None:
        if self._script.calls:
            return "stop" if self._flavour == "node" else "tool_calls"
        return _FINISH.get(self._script.ending, "stop")

    def _chunk(self, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        chunk: Json = {**self._head, "choices": [choice]}
        if self._script.is_counting_along:
            chunk["usage"] = _usage(Tokens(output=self._text, reasoning=0))
        elif self._tells_usage:
            chunk["usage"] = None
        return event(chunk)


def _written(arguments: Json | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _calls(calls: Iterable[ToolUse]) -> list[Json]:
    return [
        {
            "id": f"call_{secrets.token_hex(6)}",
            "type": "function",
            "function": {"name": name, "arguments": _written(arguments)},
        }
        for name, arguments in calls
    ]


def _usage(tokens: Tokens) -> Json:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": (tokens.input or 0) + (tokens.output or 0),
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }

"""OpenAI's responses, for the models that are called by them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator

from aiohttp import web

from tests.fakes.providers.openai import OpenAi
from tests.fakes.providers.wire import OVERLOADED, Answer, Asked, Json, Script, ToolUse, event, text_in

ENCRYPTED = "encrypted thought"
_INCOMPLETE = {"length": "max_output_tokens", "filtered": "content_filter", "blocked": "content_filter"}
_CHAT_ONLY = {"messages", "max_tokens", "max_completion_tokens", "stop", "seed", "response_format", "reasoning_effort"}


class OpenAiResponses(OpenAi):
    """The dialect; errors are those of chat completions."""

    def __init__(self) -> None:
        super().__init__("openai")

    def read(self, request: web.Request, body: Json) -> Asked:  # noqa: ARG002 - the dialects' common form
        items = body.get("input") or []
        results: list[str] = []
        for item in reversed(items):
            if item.get("type") != "function_call_output":
                break
            results.insert(0, text_in(item.get("output")))
        questions = [text_in(item.get("content"), "input_text") for item in items if item.get("role") == "user"]
        return Asked(
            model=str(body.get("model", "")),
            text=questions[-1] if questions else "",
            tool_results=tuple(results),
            tools=tuple(tool["name"] for tool in body.get("tools") or ()),
            wants_schema=((body.get("text") or {}).get("format") or {}).get("type") == "json_schema",
            has_answered=any(item.get("role") == "assistant" for item in items),
            is_streaming=bool(body.get("stream")),
        )

    def fault_of(self, body: Json) -> str | None:
        if unknown := sorted(_CHAT_ONLY & set(body)):
            return f"Unknown parameter: '{unknown[0]}'."
        if body.get("store") is not False:
            return "These tests want nothing stored."
        pending: set[str] = set()
        thought = None
        for item in body.get("input") or ():
            kind = item.get("type")
            if kind == "reasoning":
                thought = item.get("encrypted_content")
            elif kind == "function_call":
                if thought != ENCRYPTED:
                    return f"Item '{item['call_id']}' of type 'function_call' lacks its required 'reasoning' item."
                pending.add(item["call_id"])
            elif kind == "function_call_output":
                if item["call_id"] not in pending:
                    return f"No tool call found for function call output with call_id {item['call_id']}."
                pending.discard(item["call_id"])
        return f"No tool output found for function call {min(pending)}." if pending else None

    def answer(self, asked: Asked, script: Script, body: Json) -> Answer:  # noqa: ARG002 - the dialects' common form
        return _Answer(asked, script)


class _Answer(Answer):
    def __init__(self, asked: Asked, script: Script) -> None:
        self._script, self._items, self._text = script, list[Json](), ""
        self._response: Json = {"id": f"resp_{secrets.token_hex(6)}", "object": "response", "model": asked.model}

    def opening(self) -> Iterator[bytes]:
        yield _event("response.created", response=self._response | {"status": "in_progress", "output": []})

    def thought(self, text: str) -> Iterator[bytes]:
        yield _event(
            "response.output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1", "summary": []}
        )
        yield _event("response.reasoning_summary_text.delta", output_index=0, delta=text)
        yield from self._complete(_reasoning(text))

    def text_frames(self, piece: str) -> Iterator[bytes]:
        self._text += piece
        yield _event("response.output_text.delta", output_index=len(self._items), content_index=0, delta=piece)

    def called(self, calls: Iterable[ToolUse]) -> Iterator[bytes]:
        yield from self._complete(_reasoning("Hm."))
        yield from self._end_text()
        for item in _calls(calls):
            place = len(self._items)
            yield _event("response.output_item.added", output_index=place, item=item | {"arguments": ""})
            for start in range(0, len(item["arguments"]), 7):
                delta = item["arguments"][start : start + 7]
                yield _event("response.function_call_arguments.delta", output_index=place, delta=delta)
            yield from self._complete(item)

    def broken(self) -> Iterator[bytes]:
        yield event(b"{not json")

    def overloaded(self) -> Iterator[bytes]:
        yield _event("error", code="server_error", message=OVERLOADED, param=None)

    def closing(self) -> Iterator[bytes]:
        yield from self._end_text()
        if self._script.ending != "early":
            whole = self.whole()
            yield _event(f"response.{whole['status']}", response=whole)

    def whole(self) -> Json:
        reason = _INCOMPLETE.get(self._script.ending)
        status = "incomplete" if reason else "completed"
        usage = {"usage": _usage(self._script)} if self._script.tokens else {}
        details = {"reason": reason} if reason else None
        return self._response | {"status": status, "incomplete_details": details, "output": self._items} | usage

    def _end_text(self) -> Iterator[bytes]:
        text, self._text = self._text, ""
        if text:
            part = {"type": "output_text", "text": text, "annotations": []}
            yield from self._complete({"type": "message", "id": "msg_1", "role": "assistant", "content": [part]})

    def _complete(self, item: Json) -> Iterator[bytes]:
        yield _event("response.output_item.done", output_index=len(self._items), item=item)
        self._items.append(item)


def _reasoning(text: str) -> Json:
    summary = [{"type": "summary_text", "text": text}]
    return {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": ENCRYPTED, "status": None}


def _calls(calls: Iterable[ToolUse]) -> list[Json]:
    return [
        {
            "type": "function_call",
            "id": f"fc_{secrets.token_hex(4)}",
            "call_id": f"call_{secrets.token_hex(6)}",
            "name": name,
            "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
            "status": "completed",
        }
        for name, arguments in calls
    ]


def _usage(script: Script) -> Json:
    tokens = script.tokens
    assert tokens is not None
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": (tokens.input or 0) + (tokens.output or 0),
    }


def _event(kind: str, **fields: object) -> bytes:
    return event({"type": kind, **fields}, kind)

"""Google's Gemini API: streamGenerateContent and generateContent of any API version."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Iterator

from aiohttp import web

from tests.fakes.providers.wire import (
    OVERLOADED,
    Answer,
    Asked,
    Json,
    Refusal,
    Reply,
    Script,
    ToolUse,
    as_json,
    event,
    text_in,
)

# Its base64 has a plus and a slash, so that who writes them the URL-safe way shows.
SIGNATURE = base64.b64encode(b"\xfb\xff\xfe thought").decode()
_SKIPPED = base64.b64encode(b"skip_thought_signature_validator").decode()
_FINISH = {"length": "MAX_TOKENS", "filtered": "SAFETY", "early": None}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_BAD_KEY = "API key not valid. Please pass a valid API key."
_NO_CREDIT = "Your project has exceeded its monthly spending cap. Please raise it in AI Studio."
_DETAIL = "type.googleapis.com/google.rpc."
_LINE_END = b"\r\n"  # Google's events end their lines so


class Gemini:
    """The dialect."""

    overload_status = 503

    def key_of(self, request: web.Request) -> str | None:
        return request.headers.get("x-goog-api-key") or request.query.get("key", "")

    def read(self, request: web.Request, body: Json) -> Asked:
        model, _, verb = request.match_info["call"].rpartition(":")
        contents = body.get("contents") or [{}]
        questions = [text_in(c.get("parts"), None) for c in contents if c.get("role") != "model"]
        results = [part["functionResponse"] for part in _parts(contents[-1]) if "functionResponse" in part]
        wanted = body.get("generationConfig") or {}
        return Asked(
            model=model,
            text=next((question for question in reversed(questions) if question), ""),
            tool_results=tuple(_result(each.get("response")) for each in results),
            tools=tuple(d["name"] for tool in body.get("tools") or () for d in tool.get("functionDeclarations") or ()),
            wants_schema=bool({"responseSchema", "responseJsonSchema"} & set(wanted)),
            has_answered=any(c.get("role") == "model" for c in contents),
            is_streaming=verb == "streamGenerateContent",
        )

    def fault_of(self, body: Json) -> str | None:
        contents = body.get("contents") or []
        if not contents:
            return "* GenerateContentRequest.contents: contents is not specified"
        if any(content.get("role", "user") not in {"user", "model"} for content in contents):
            return "Please use a valid role: user, model."
        asked_at = max((place for place, content in enumerate(contents) if _is_question(content)), default=0)
        return next((fault for content in contents[asked_at:] if (fault := _fault_of_turn(content))), None)

    def refuse(self, refusal: Refusal) -> Reply:
        status, message, details = refusal.status, refusal.message, list[Json]()
        if refusal.reason == "key":
            status, message = 400, _BAD_KEY
            details.append({"@type": f"{_DETAIL}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"})
        if refusal.reason == "credit":
            status, message = 429, _NO_CREDIT
        if refusal.retry_after_seconds:
            details.append({"@type": f"{_DETAIL}QuotaFailure", "violations": [{"quotaValue": "10"}]})
            details.append({"@type": f"{_DETAIL}RetryInfo", "retryDelay": f"{refusal.retry_after_seconds}s"})
        return Reply(status, _error(status, message, details))

    def answer(self, asked: Asked, script: Script, body: Json) -> Answer:  # noqa: ARG002 - the dialects' common form
        return _Answer(asked, script)


def _parts(content: Json) -> list[Json]:
    return content.get("parts") or []


def _result(response: Json | None) -> str:
    received = (response or {}).get("output", (response or {}).get("error"))
    return received if isinstance(received, str) else as_json(response).decode()


def _is_question(content: Json) -> bool:
    return content.get("role") != "model" and any("text" in part for part in _parts(content))


def _fault_of_turn(content: Json) -> str | None:
    """Gemini 3 wants the signature of its thoughts back with the first call of every step of the current turn."""
    first = next((part for part in _parts(content) if "functionCall" in part), None)
    if content.get("role") != "model" or first is None:
        return None
    signature = str(first.get("thoughtSignature", "")).replace("-", "+").replace("_", "/")
    if signature in {SIGNATURE, _SKIPPED}:
        return None
    name = first["functionCall"].get("name")
    return f"Function call is missing a thought_signature in functionCall parts: `default_api:{name}`."


def _error(code: int, message: str, details: list[Json] | None = None) -> Json:
    status = _STATUS.get(code, "INTERNAL" if code >= 500 else "FAILED_PRECONDITION")
    return {"error": {"code": code, "message": message, "status": status, **({"details": details} if details else {})}}


class _Answer(Answer):
    def __init__(self, asked: Asked, script: Script) -> None:
        self._script, self._text = script, 0
        self._tail = {"modelVersion": asked.model, "responseId": secrets.token_hex(11)}

    def opening(self) -> Iterator[bytes]:
        yield from ()

    def thought(self, text: str) -> Iterator[bytes]:
        yield self._event([{"text": text, "thought": True}])

    def text_frames(self, piece: str) -> Iterator[bytes]:
        self._text += 1
        yield self._event([{"text": piece}])

    def called(self, calls: Iterable[ToolUse]) -> Iterator[bytes]:
        yield self._event(_calls(calls))

    def broken(self) -> Iterator[bytes]:
        yield event(b'{"candidates": [{"content": {"parts"', line_end=_LINE_END)

    def overloaded(self) -> Iterator[bytes]:
        yield event(_error(503, OVERLOADED), line_end=_LINE_END)

    def closing(self) -> Iterator[bytes]:
        yield event(self._blocked() or self._finished([{"text": ""} | self._signed()]), line_end=_LINE_END)

    def whole(self) -> Json:
        if blocked := self._blocked():
            return blocked
        thoughts: list[Json] = [{"text": self._script.reasoning, "thought": True}] if self._script.reasoning else []
        sent_text: list[Json] = [{"text": self._script.text} | self._signed()] if self._script.text else []
        return self._finished(thoughts + sent_text + _calls(self._script.calls), is_whole=True)

    def _signed(self) -> Json:
        """An answer that was thought about ends with a signed part, even an empty one."""
        return {"thoughtSignature": SIGNATURE} if self._script.reasoning else {}

    def _blocked(self) -> Json | None:
        if self._script.ending != "blocked":
            return None
        received = self._usage(0)
        for count in ("candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount"):  # nothing was made of it
            received.get("usageMetadata", {}).pop(count, None)
        return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **received, **self._tail}

    def _finished(self, parts: list[Json], *, is_whole: bool = False) -> Json:
        finish = _FINISH.get(self._script.ending, "STOP")
        candidate: Json = {"index": 0} | ({"finishReason": finish} if finish else {})
        if finish == "SAFETY":
            rating = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
            candidate["safetyRatings"] = [rating]
        if finish != "SAFETY" or is_whole:
            candidate["content"] = {"parts": parts, "role": "model"}
        return {"candidates": [candidate], **self._usage(None), **self._tail}

    def _event(self, parts: list[Json]) -> bytes:
        candidate = {"index": 0, "content": {"parts": parts, "role": "model"}}
        return event({"candidates": [candidate], **self._usage(self._text), **self._tail}, line_end=_LINE_END)

    def _usage(self, sent_text: int | None) -> Json:
        """Counts so far, all of them for None; thoughts come on top of the candidates'."""
        if (tokens := self._script.tokens) is None:
            return {}
        final = None if tokens.output is None else tokens.output - (tokens.reasoning or 0)
        candidates = final if sent_text is None or final is None else min(sent_text, final)
        counts = {
            "promptTokenCount": tokens.input,
            "cachedContentTokenCount": tokens.cached,
            "candidatesTokenCount": candidates,
            "thoughtsTokenCount": tokens.reasoning,
            "totalTokenCount": (tokens.input or 0) + (candidates or 0) + (tokens.reasoning or 0),
        }
        return {"usageMetadata": counts}


def _calls(calls: Iterable[ToolUse]) -> list[Json]:
    return [
        {"functionCall": {"id": secrets.token_hex(4), "name": name, "args": arguments}}
        | ({"thoughtSignature": SIGNATURE} if place == 0 else {})
        for place, (name, arguments) in enumerate(calls)
    ]

"""MatchAI: one prompt in, one text out; nothing is streamed, counted or called."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from tests.fakes.providers.kinds import matcha_name
from tests.fakes.providers.wire import Answer, Asked, Json, Refusal, Reply, Script


class Matcha:
    """The dialect; `llm_id` is a number that `matcha_id` gave."""

    overload_status = 503

    def key_of(self, request: web.Request) -> str | None:
        return request.headers.get("matcha-api-key", "")

    def read(self, request: web.Request, body: Json) -> Asked:  # noqa: ARG002 - the dialects' common form
        """The prompt's last paragraph is the question: what stands before it is instructions and earlier turns."""
        prompt = str(body.get("input", ""))
        llm_id = body.get("llm_id")
        return Asked(
            model=matcha_name(llm_id) if isinstance(llm_id, int) else "",
            text=prompt.rpartition("\n\n")[2],
            has_answered="\n\nAssistant: " in prompt,
            is_streaming=False,
        )

    def fault_of(self, body: Json) -> str | None:
        for name, kind in (("mission_id", int), ("llm_id", int), ("input", str)):
            if type(body.get(name)) is not kind:
                return f"{name} must be of type {kind.__name__}"
        return None

    def refuse(self, refusal: Refusal) -> Reply:
        known = refusal.status in {status.value for status in HTTPStatus}
        phrase = HTTPStatus(refusal.status).phrase if known else "Error"
        message = refusal.message if refusal.reason in {"status", "request"} else phrase
        return Reply(refusal.status, {"message": message}, refusal.headers)

    def answer(self, asked: Asked, script: Script, body: Json) -> Answer:  # noqa: ARG002 - the dialects' common form
        return _Answer(script)


class _Answer(Answer):
    def __init__(self, script: Script) -> None:
        self._script = script

    def whole(self) -> Json:
        content = [{"type": "output_text", "text": self._script.text}]
        return {"status": "success", "output": [{"role": "assistant", "type": "message", "content": content}]}

"""MatchAI: one prompt in, one text out; no streaming, tools or usage. `model` is MatchAI's number of an LLM."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from shared import http
from shared.config import settings
from shared.errors import ProviderError, ProviderRefused
from shared.events import Finish, ModelEvent, Text
from shared.messages import Message, ModelRequest, Node
from shared.providers.contents import ThinkTag
from shared.providers.provider_errors import (
    PARSE_ERRORS,
    error_for_status,
    is_page,
    malformed_response,
    retry_after_seconds,
    unreachable,
)
from shared.providers.refusals import read_refusal
from shared.tracing import outgoing_headers

NAME = "matcha"
_MAX_ANSWER_BYTES = 4 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024
_SPEAKERS = {"user": "User", "assistant": "Assistant", "tool": "Result"}


class Matcha:
    """The Provider for MatchAI, by `POST {MATCHA_BASE_URL}/completions`."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        if not request.model.isdecimal():
            raise ProviderRefused("A MatchAI model is named by its number.")
        body = {"mission_id": _mission_id(), "llm_id": int(request.model), "input": prompt_of(request.messages)}
        request.on_bytes()  # its response begins when the answer is complete
        text = read_answer(await _post("/completions", body))
        think = ThinkTag()
        for event in (*think.read(text), *think.rest()):
            if not isinstance(event, Text):
                yield event
            elif answer := _until(event.text, request.stop):
                yield Text(answer)
        yield Finish("stop")

    async def check(self, node: Node | None = None) -> None:  # noqa: ARG002 - the contract's
        """Checks only the settings, because MatchAI has no free endpoint."""
        _mission_id()
        settings().require("MATCHA_BASE_URL")
        settings().key("MATCHA_API_KEY")


def _until(text: str, stop: tuple[str, ...]) -> str:
    """The text before the first stop sequence, as MatchAI has no parameter for them."""
    return text[: min((place for each in stop if (place := text.find(each)) >= 0), default=len(text))]


def prompt_of(messages: tuple[Message, ...]) -> str:
    """The conversation as one text: instructions, then messages with their speakers, and last the question."""
    *earlier, question = messages
    lines = [m.content for m in earlier if m.role == "system"]
    lines += [f"{_SPEAKERS[m.role]}: {m.content}" for m in earlier if m.role != "system"]
    return "\n\n".join(part for part in (*lines, question.content) if part)


def read_answer(body: bytes) -> str:
    """The joined texts of `output[*].content[*].text`. Raises ProviderError for any other body, such as HTML."""
    try:
        texts = [content["text"] for each in json.loads(body)["output"] for content in each.get("content") or ()]
    except PARSE_ERRORS as error:
        raise malformed_response(NAME, "a completion") from error
    return "\n\n".join(text for text in texts if isinstance(text, str) and text)


def _mission_id() -> int:
    return int(settings().require("MATCHA_MISSION_ID"))


async def _post(path: str, body: dict[str, Any]) -> bytes:
    url = settings().require("MATCHA_BASE_URL").rstrip("/") + path
    headers = outgoing_headers() | {"MATCHA-API-KEY": settings().key("MATCHA_API_KEY")}
    try:
        async with http.session().post(url, json=body, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                raise error_for_status(
                    NAME,
                    response.status,
                    refusal=read_refusal(await response.content.read(_MAX_ERROR_BYTES)),
                    retry_after=retry_after_seconds(response.headers),
                    is_page=is_page(response.headers),
                )
            received = b""
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > _MAX_ANSWER_BYTES:
                    raise malformed_response(NAME, "a completion")
            return received
    except ProviderError:
        raise
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise unreachable(NAME) from error

"""The route of OpenAI's old completions; its first request loads this module."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from functions.chat.protocols.answer import answer_by
from functions.chat.protocols.openai_errors import reworded
from functions.chat.protocols.stateless import BorrowedProtocol
from functions.chat.protocols.text_completions.encoders import TextJson, TextStream
from functions.chat.protocols.text_completions.request import read_text_completion_request

TEXT_COMPLETIONS: Final = BorrowedProtocol(read_text_completion_request, TextStream, TextJson, reworded)


async def complete_text(request: Request) -> Response:
    """POST /v1/completions: one answer to a prompt."""
    return await answer_by(TEXT_COMPLETIONS, request)

"""The route of OpenAI's responses; its first request loads this module."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from functions.chat.protocols.answer import answer_by
from functions.chat.protocols.openai_errors import reworded
from functions.chat.protocols.responses.encoders import ResponseJson, ResponseStream
from functions.chat.protocols.responses.reader import read_responses_request
from functions.chat.protocols.stateless import BorrowedProtocol

RESPONSES: Final = BorrowedProtocol(read_responses_request, ResponseStream, ResponseJson, reworded)


async def create_response(request: Request) -> Response:
    """POST /v1/responses: one answer, which continues a stored one of the same user when it is named."""
    return await answer_by(RESPONSES, request)

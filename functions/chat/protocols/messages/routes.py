"""The routes of Anthropic's messages; their first request loads this module."""

from __future__ import annotations

import json
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.chat.protocols.answer import answer_by
from functions.chat.protocols.messages.encoders import MessageJson, MessageStream
from functions.chat.protocols.messages.errors import reworded
from functions.chat.protocols.messages.request import read_messages_request
from functions.chat.protocols.stateless import BorrowedProtocol, StatelessRequest, in_words_of
from shared.auth import authenticate
from shared.token_bounds import TOKENS_PER_MESSAGE, file_tokens, text_of
from shared.tokens import estimate_tokens

MESSAGES: Final = BorrowedProtocol(read_messages_request, MessageStream, MessageJson, reworded)


async def create_message(request: Request) -> Response:
    """POST /v1/messages: one answer to a conversation that the client keeps."""
    return await answer_by(MESSAGES, request)


async def count_tokens(request: Request) -> Response:
    """POST /v1/messages/count_tokens: an estimate of the input tokens; no model is called and nothing is booked."""
    with in_words_of(reworded):
        person = await authenticate(request, "chat")
        asked = await read_messages_request(request, person)
    return JSONResponse({"input_tokens": _estimate(asked)})


def _estimate(asked: StatelessRequest) -> int:
    messages = sum(estimate_tokens(text_of(message)) + TOKENS_PER_MESSAGE for message in asked.conversation)
    files = sum(map(file_tokens, asked.conversation))
    offered = (f"{tool.name} {tool.description} {json.dumps(dict(tool.parameters))}" for tool in asked.options.tools)
    return messages + files + sum(map(estimate_tokens, offered))

"""chat: one turn with a model, streamed or whole. Who → what → admit → speak, tell and remember."""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.chat.admission import dry_run_answer, limit_headers, with_limits
from functions.chat.replay import replayed
from functions.chat.request import read_chat_request
from functions.chat.streams.response import StreamResponse, WholeResponse
from functions.chat.streams.ui import UiStream
from functions.chat.turn import speak
from shared import ledger
from shared.auth import authenticate
from shared.config import settings
from shared.endpoint import answer, routes
from shared.errors import BudgetExceeded, QuotaExceeded
from shared.health import healthy, ready
from shared.providers import load_sdks


async def take_turn(request: Request) -> Response:
    """POST / and its aliases: one turn."""
    person = await authenticate(request)
    asked, ask = await read_chat_request(request)
    try:
        turn = await ledger.begin(person, ask)
    except (QuotaExceeded, BudgetExceeded) as refusal:
        raise with_limits(refusal) from None
    if asked.dry_run:
        return JSONResponse(dry_run_answer(turn))
    headers = limit_headers(turn)
    events = replayed(turn) if turn.replay else speak(turn, asked, request.state.arrived)
    if asked.stream:
        return StreamResponse(events, UiStream(turn), request.state.request_id, headers)
    return WholeResponse(events, request.state.request_id, headers)


load_sdks(settings().names("PRELOAD_PROVIDERS"))

ROUTES = routes(
    {
        "POST /": take_turn,
        "POST /chat": take_turn,
        "POST /chat/stream": take_turn,
        "POST /ai/chat": take_turn,
        "GET /health": healthy,
        "GET /health/ready": ready,
    }
)


@functions_framework.aio.http
async def chat(request: Request) -> Response:
    """The function."""
    return await answer(request, ROUTES)

"""chat: one turn with a model, streamed or whole. Who → what → admit → speak, tell and remember.

Two ways in and out over the same turn: the AI SDK's with agents and a stored conversation, and OpenAI's without.
"""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.chat.admission import dry_run_answer, limit_headers, with_limits
from functions.chat.agent_run import run_agent_turn, run_turn
from functions.chat.completion_request import read_completion_request
from functions.chat.completion_run import CompletionRun
from functions.chat.replay import replayed
from functions.chat.request import read_chat_request
from functions.chat.streams.json_answer import TurnJson
from functions.chat.streams.openai import CompletionJson, CompletionStream
from functions.chat.streams.response import StreamResponse, WholeResponse
from functions.chat.streams.ui import UiStream
from shared import ledger
from shared.auth import Person, authenticate
from shared.config import settings
from shared.endpoint import answer, routes, with_document
from shared.errors import BudgetExceeded, QuotaExceeded
from shared.health import healthy, ready
from shared.openai_models import get_openai_model, list_openai_models
from shared.providers import load_sdks
from shared.turns import Turn, TurnRequest


async def take_turn(request: Request) -> Response:
    """POST / and its aliases: one turn."""
    person = await authenticate(request)
    asked, ask = await read_chat_request(request)
    turn = await _admitted(person, ask)
    if asked.dry_run:
        return JSONResponse(dry_run_answer(turn))
    headers = limit_headers(turn)
    events = replayed(turn) if turn.replay else run_agent_turn(turn, asked, request.state.arrived)
    if asked.stream:
        return StreamResponse(events, UiStream(turn), request.state.request_id, headers)
    return WholeResponse(events, TurnJson(), request.state.request_id, headers)


async def stream_turn(request: Request) -> Response:
    """POST /chat/stream: one turn, streamed whatever `stream` says."""
    return await take_turn(request)


async def resume(request: Request) -> Response:
    """GET /{id}/stream below every address of a turn: 204, for no stream outlives its request.

    `useChat` asks it with `resume`.
    """
    await authenticate(request)
    return Response(status_code=204)


async def complete(request: Request) -> Response:
    """POST /v1/chat/completions: one answer to a conversation that the caller keeps."""
    person = await authenticate(request)
    asked, ask = await read_completion_request(request)
    turn = await _admitted(person, ask)
    events = run_turn(turn, CompletionRun(turn, asked, request.state.arrived))
    headers, request_id = limit_headers(turn), request.state.request_id
    if asked.stream:
        return StreamResponse(events, CompletionStream(turn, wants_usage=asked.wants_usage), request_id, headers)
    return WholeResponse(events, CompletionJson(turn), request_id, headers)


async def _admitted(person: Person, ask: TurnRequest) -> Turn:
    try:
        return await ledger.begin(person, ask)
    except (QuotaExceeded, BudgetExceeded) as refusal:
        raise with_limits(refusal) from None


load_sdks(settings().names("PRELOAD_PROVIDERS"))

TABLE = {
    "POST /": take_turn,
    "POST /chat": take_turn,
    "POST /chat/stream": stream_turn,
    "POST /ai/chat": take_turn,
    "POST /v1/chat/completions": complete,
    "GET /{id}/stream": resume,
    "GET /chat/{id}/stream": resume,
    "GET /chat/stream/{id}/stream": resume,
    "GET /ai/chat/{id}/stream": resume,
    "GET /v1/models": list_openai_models,
    "GET /v1/models/{identifier:path}": get_openai_model,
    "GET /health": healthy,
    "GET /health/ready": ready,
}
ROUTES = routes(with_document(TABLE, "functions.chat.openapi"))


@functions_framework.aio.http
async def chat(request: Request) -> Response:
    """The function."""
    return await answer(request, ROUTES)

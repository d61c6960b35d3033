"""chat: runs one turn. Authenticates, reads the body, admits the turn and runs it; the response encodes its events.

A turn has one of two protocols: the AI SDK's, with agents and a stored conversation, or OpenAI's chat completions.
"""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.chat.admission import chat_turn, completion_turn
from functions.chat.agent_run import AgentRun
from functions.chat.completion_request import read_completion_request
from functions.chat.completion_run import CompletionRun
from functions.chat.openai_errors import openai_words
from functions.chat.replay import replayed
from functions.chat.request import read_chat_request
from functions.chat.streams.json_answer import TurnJson
from functions.chat.streams.openai import CompletionJson, CompletionStream
from functions.chat.streams.ui import UiStream
from shared import ledger_calls
from shared.admission import admit, dry_run_json
from shared.auth import authenticate
from shared.config import settings
from shared.endpoint import respond, routes, with_document
from shared.health import healthy, ready
from shared.openai_models import get_openai_model, list_openai_models
from shared.providers import load_sdks
from shared.responses import StreamResponse, WholeResponse
from shared.run_turn import run_turn


async def take_turn(request: Request, *, stream: bool | None = None) -> Response:
    """POST / and its aliases: one turn. `stream` overrides the field of the body."""
    person = await authenticate(request)
    body = await read_chat_request(request)
    turn = await admit(person, chat_turn(body, request))
    if body.dry_run:
        return JSONResponse(dry_run_json(turn), headers=body.wishes.headers(turn.routes[0]))
    events = replayed(turn, turn.replay) if turn.replay else run_turn(AgentRun(turn, body, request.state.arrived))
    if body.stream if stream is None else stream:
        return StreamResponse(turn, events, UiStream(turn), _deadline(request), body.wishes)
    return WholeResponse(turn, events, TurnJson(), _deadline(request), body.wishes)


async def stream_turn(request: Request) -> Response:
    """POST /chat/stream: one turn, always streamed."""
    return await take_turn(request, stream=True)


async def resume(request: Request) -> Response:
    """GET /{id}/stream, which `useChat` calls to resume a stream: 204, because a stream ends with its request."""
    await authenticate(request)
    return Response(status_code=204)


async def complete(request: Request) -> Response:
    """POST /v1/chat/completions: one answer to a conversation that the client keeps."""
    with openai_words():
        person = await authenticate(request)
        body = await read_completion_request(request)
        turn = await admit(person, completion_turn(body, request))
    events = run_turn(CompletionRun(turn, body, request.state.arrived))
    if body.stream:
        encoder = CompletionStream(turn, wants_usage=body.wants_usage)
        return StreamResponse(turn, events, encoder, _deadline(request), body.wishes)
    return WholeResponse(turn, events, CompletionJson(turn), _deadline(request), body.wishes)


def _deadline(request: Request) -> float:
    """The end of the turn's time, by time.monotonic()."""
    arrived: float = request.state.arrived
    return arrived + settings().turn_seconds


load_sdks(settings().names("PRELOAD_PROVIDERS"))
ledger_calls.connect_to(lambda: settings().ledger_url)

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
ROUTES = routes(with_document(TABLE, "chat"))


@functions_framework.aio.http
async def chat(request: Request) -> Response:
    """The response to any request of this function."""
    return await respond(request, ROUTES)

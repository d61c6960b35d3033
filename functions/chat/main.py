"""chat: runs one turn. Authenticates, reads the body, admits the turn and runs it; the response encodes its events.

Routes of the AI SDK's protocol run an agent in a stored conversation. Routes under /v1 belong to borrowed protocols.
"""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.chat.admission import chat_turn
from functions.chat.agent_run import AgentRun
from functions.chat.protocols.answer import answer_by
from functions.chat.protocols.completions.protocol import COMPLETIONS
from functions.chat.replay import replayed
from functions.chat.request import read_chat_request
from functions.chat.resumable.kept_turn import kept_turn
from functions.chat.resumable.routes import follow_turn, stop_turn
from functions.chat.streams.json_answer import TurnJson
from functions.chat.streams.ui import UiStream
from shared import ledger_calls
from shared.admission import admit, dry_run_json
from shared.auth import authenticate
from shared.config import settings
from shared.endpoint import on_demand, respond, routes, with_document
from shared.health import healthy, ready
from shared.openai_models import get_openai_model, list_openai_models
from shared.providers import load_sdks
from shared.responses import StreamResponse, WholeResponse
from shared.run_turn import run_turn


async def take_turn(request: Request, *, stream: bool | None = None) -> Response:
    """POST / and its aliases: one turn. `stream` overrides the field of the body."""
    person = await authenticate(request, "chat")
    body = await read_chat_request(request)
    turn = await admit(person, chat_turn(body, request))
    if body.dry_run:
        return JSONResponse(dry_run_json(turn), headers=body.wishes.headers(turn.routes[0]))
    if turn.replay:
        events = replayed(turn, turn.replay)
    else:
        run = AgentRun(turn, body, request.state.arrived)
        events = kept_turn(run) if body.resumable else run_turn(run)
    deadline = settings().deadline(request.state.arrived)
    if body.stream if stream is None else stream:
        return StreamResponse(turn, events, UiStream(turn), deadline, body.wishes)
    return WholeResponse(turn, events, TurnJson(), deadline, body.wishes)


async def stream_turn(request: Request) -> Response:
    """POST /chat/stream: one turn, always streamed."""
    return await take_turn(request, stream=True)


async def complete(request: Request) -> Response:
    """POST /v1/chat/completions: one answer to a conversation that the client keeps."""
    return await answer_by(COMPLETIONS, request)


load_sdks(settings().names("PRELOAD_PROVIDERS"))
ledger_calls.connect_to(lambda: settings().ledger_url)

TABLE = {
    "POST /": take_turn,
    "POST /chat": take_turn,
    "POST /chat/stream": stream_turn,
    "POST /ai/chat": take_turn,
    "POST /v1/chat/completions": complete,
    "POST /v1/messages": on_demand("functions.chat.protocols.messages.routes", "create_message"),
    "POST /v1/messages/count_tokens": on_demand("functions.chat.protocols.messages.routes", "count_tokens"),
    "POST /v1/completions": on_demand("functions.chat.protocols.text_completions.routes", "complete_text"),
    "POST /v1/responses": on_demand("functions.chat.protocols.responses.routes", "create_response"),
    **{f"GET {path}/{{id}}/stream": follow_turn for path in ("", "/chat", "/chat/stream", "/ai/chat")},
    **{f"POST {path}/{{id}}/stop": stop_turn for path in ("", "/chat", "/chat/stream", "/ai/chat")},
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

"""The routes beside a resumable turn: follow it, stop it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.chat.resumable import pieces
from functions.chat.resumable.following import FollowResponse
from functions.chat.resumable.watching import leave_seat, take_seat
from shared.auth import authenticate
from shared.config import settings


async def follow_turn(request: Request) -> Response:
    """GET /{id}/stream, which `useChat` calls to resume: the running turn from its start; 204 when none runs.

    Raises TooManyFollowers and what `authenticate` and `pieces.follow` raise.
    """
    person = await authenticate(request, "chat")
    chat_id = request.path_params["id"]
    take_seat(person)
    try:
        found = await pieces.follow(person, chat_id)
    except BaseException:
        leave_seat(person)
        raise
    if found.outcome == "none":
        leave_seat(person)
        return Response(status_code=204)
    return FollowResponse(person, chat_id, found, settings().deadline(request.state.arrived))


async def stop_turn(request: Request) -> Response:
    """POST /{id}/stop: stops the running turn, from any device of its user."""
    person = await authenticate(request, "chat")
    return JSONResponse(await pieces.stop(person, request.path_params["id"]))

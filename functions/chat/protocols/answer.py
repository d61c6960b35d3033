"""The response to a request of a borrowed protocol: the same steps for each of them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from functions.chat.admission import stateless_turn
from functions.chat.protocols.run import StatelessRun
from functions.chat.protocols.stateless import BorrowedProtocol, in_words_of
from shared.admission import admit
from shared.auth import authenticate
from shared.config import settings
from shared.responses import StreamResponse, WholeResponse
from shared.run_turn import run_turn


async def answer_by(protocol: BorrowedProtocol, request: Request) -> Response:
    """One answer, streamed or whole. Raises errors in the words of the protocol."""
    arrived: float = request.state.arrived
    with in_words_of(protocol.reworded):
        person = await authenticate(request, "chat")
        asked = await protocol.read(request, person)
        turn = await admit(person, stateless_turn(asked, request))
        deadline = settings().deadline(arrived)
    events = run_turn(StatelessRun(turn, asked, arrived), protocol.reworded)
    if asked.is_streamed:
        return StreamResponse(turn, events, protocol.stream_encoder(turn, asked), deadline, asked.wishes)
    return WholeResponse(turn, events, protocol.json_encoder(turn, asked), deadline, asked.wishes)

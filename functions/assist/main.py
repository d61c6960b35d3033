"""assist: one-shot answers as JSON that fits the schema of a preset, stored for as long as the preset says.

Authenticates, reads the body and looks the answer up; what is not stored is awaited or asked of a model.
"""

from __future__ import annotations

import asyncio
import functools
import importlib

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.assist import runner
from functions.assist.bodies import body_of, headers_of
from functions.assist.cache import Found
from functions.assist.preset import Offer
from functions.assist.presets import OFFERS
from functions.assist.request import presets_of, read_request
from functions.assist.runner import Part
from shared import ledger_calls
from shared.auth import authenticate
from shared.config import settings
from shared.endpoint import Handler, on_demand, respond, routes, with_document
from shared.errors import MethodNotAllowed, NotFound, ParleyError
from shared.health import healthy, ready

_MCP = "functions.assist.mcp.routes"
_UNSTORED = "functions.assist.responses"  # what only misses, streams and dry runs need


async def ask(offer: Offer, request: Request) -> Response:
    """POST to a preset or bundle: its answer."""
    person = await authenticate(request, "chat")
    asked = await read_request(person, request, offer)
    parts = [Part.of(preset, asked) for preset in presets_of(offer)]
    if asked.body.dry_run:
        planned: Response = await importlib.import_module(_UNSTORED).dry_run(offer, parts)
        return planned
    found = await asyncio.gather(*map(_found, parts))
    stored = {part.preset.name: runner.kept(part, each) for part, each in found if isinstance(each, Found)}
    answers = {name: answer for name, answer in stored.items() if answer is not None}
    if len(answers) < len(parts) or asked.form != "json":
        pending: Response = importlib.import_module(_UNSTORED).PendingAnswer(offer, asked, found)
        return pending
    body = body_of(offer, answers, asked.request_id)
    return Response(body, media_type="application/json", headers=headers_of(asked, answers))


async def _found(part: Part) -> tuple[Part, Found | ParleyError]:
    try:
        return part, await runner.find(part)
    except ParleyError as error:  # the other parts of a bundle are answered
        return part, error


async def ask_named(request: Request) -> Response:
    """POST /{preset} and /{group}/{preset}: the answer of the preset with this name. Raises NotFound with all names."""
    name = request.path_params["preset"]
    if name not in OFFERS or "group" in request.path_params:
        raise NotFound("There is no such preset.", metadata={"presets": list(OFFERS)})
    return await ask(OFFERS[name], request)


async def take_no_get(request: Request) -> Response:
    """GET /{preset} and /{group}/{preset}: presets take POST. Raises MethodNotAllowed, NotFound."""
    if request.path_params["preset"] in OFFERS and "group" not in request.path_params:
        raise MethodNotAllowed("A preset takes POST.", headers={"Allow": "OPTIONS, POST"})
    raise NotFound("There is nothing at this path.")


def _table() -> dict[str, Handler]:
    """A route for each path of a preset, with and without /ai."""
    table: dict[str, Handler] = {}
    for offer in OFFERS.values():
        for path in offer.paths:
            table[f"POST {path}"] = table[f"POST /ai{path}"] = functools.partial(ask, offer)
    return table


ledger_calls.connect_to(lambda: settings().ledger_url)
if preloaded := settings().names("PRELOAD_PROVIDERS"):
    importlib.import_module("shared.providers").load_sdks(preloaded)

TABLE: dict[str, Handler] = {
    **_table(),
    "POST /mcp": on_demand(_MCP, "serve_mcp"),
    "GET /.well-known/oauth-protected-resource": on_demand(_MCP, "show_resource"),
    "GET /.well-known/oauth-protected-resource/mcp": on_demand(_MCP, "show_resource"),
    "GET /presets": on_demand("functions.assist.offers", "list_presets"),
    "GET /health": healthy,
    "GET /health/ready": ready,
    "POST /{preset}": ask_named,
    "POST /ai/{preset}": ask_named,
    "POST /{group}/{preset}": ask_named,
    "POST /ai/{group}/{preset}": ask_named,
    "GET /{preset}": take_no_get,
    "GET /{group}/{preset}": take_no_get,
}
ROUTES = routes(with_document(TABLE, "assist"))


@functions_framework.aio.http
async def assist(request: Request) -> Response:
    """The response to any request of this function."""
    return await respond(request, ROUTES)

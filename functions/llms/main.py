"""llms: the models people can choose from, for frontends and for OpenAI's SDKs, and what their own nodes offer.

And for operators: whether all that a turn leans on is there.
"""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.llms import catalogue
from functions.llms.catalogue import as_openai_model
from functions.llms.diagnostics import show_diagnostics, test_connection
from functions.llms.nodes import probe_node
from shared.auth import authenticate
from shared.endpoint import answer, routes
from shared.errors import ModelNotFound
from shared.health import healthy, ready


async def list_models(request: Request) -> Response:
    """GET /: active models by display order; 304 when the caller has this list already."""
    person = await authenticate(request)
    listed = await catalogue.kept.get(person.token)
    headers = {"ETag": listed.etag, "Cache-Control": "private, no-cache"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(listed.body, headers=headers, media_type="application/json")


async def list_openai_models(request: Request) -> Response:
    """GET /v1/models: the same list in OpenAI's shape."""
    person = await authenticate(request)
    listed = await catalogue.kept.get(person.token)
    return JSONResponse({"object": "list", "data": [as_openai_model(row) for row in listed.models]})


async def get_openai_model(request: Request) -> Response:
    """GET /v1/models/{id}: one of them, by identifier or key."""
    person = await authenticate(request)
    wanted = request.path_params["identifier"]
    listed = await catalogue.kept.get(person.token)
    row = next((m for m in listed.models if wanted in {m["identifier"], m["model_key"]}), None)
    if row is None:
        raise ModelNotFound(f'There is no active model "{wanted[:100]}".', param="model")
    return JSONResponse(as_openai_model(row))


ROUTES = routes(
    {
        "GET /": list_models,
        "GET /llms": list_models,
        "GET /api/llms": list_models,
        "GET /ai/models": list_models,
        "GET /v1/models": list_openai_models,
        "GET /v1/models/{identifier:path}": get_openai_model,
        "POST /nodes/{id}/probe": probe_node,
        "GET /debug": show_diagnostics,
        "POST /debug/test": test_connection,
        "GET /health": healthy,
        "GET /health/ready": ready,
    }
)


@functions_framework.aio.http
async def llms(request: Request) -> Response:
    """The function."""
    return await answer(request, ROUTES)

"""llms: the models people can choose from, for frontends and for OpenAI's SDKs, and what their own nodes offer."""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.llms.catalogue import as_openai_model, etag_of, read_catalogue
from functions.llms.nodes import probe_node
from shared.auth import authenticate
from shared.endpoint import answer, routes
from shared.errors import ModelNotFound
from shared.health import healthy, ready


async def list_models(request: Request) -> Response:
    """GET /: active models by display order; 304 when the caller has this list already."""
    person = await authenticate(request)
    listed = (await read_catalogue(person.token)).as_json()
    headers = {"ETag": etag_of(listed), "Cache-Control": "private, no-cache"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return JSONResponse(listed, headers=headers)


async def list_openai_models(request: Request) -> Response:
    """GET /v1/models: the same list in OpenAI's shape."""
    person = await authenticate(request)
    catalogue = await read_catalogue(person.token)
    return JSONResponse({"object": "list", "data": [as_openai_model(row) for row in catalogue.models]})


async def get_openai_model(request: Request) -> Response:
    """GET /v1/models/{id}: one of them, by identifier or key."""
    person = await authenticate(request)
    wanted = request.path_params["identifier"]
    catalogue = await read_catalogue(person.token)
    row = next((m for m in catalogue.models if wanted in {m["identifier"], m["model_key"]}), None)
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
        "GET /health": healthy,
        "GET /health/ready": ready,
    }
)


@functions_framework.aio.http
async def llms(request: Request) -> Response:
    """The function."""
    return await answer(request, ROUTES)

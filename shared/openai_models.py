"""`GET /v1/models` for OpenAI's SDKs. Both llms and chat serve it, because an SDK may have either base URL."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared import catalogue
from shared.auth import authenticate
from shared.catalogue import as_openai_model
from shared.errors import ModelNotFound


async def list_openai_models(request: Request) -> Response:
    """GET /v1/models: the models that a user can choose, in OpenAI's format."""
    person = await authenticate(request, "models")
    listed = await catalogue.catalogue_cache.get(person)
    return JSONResponse({"object": "list", "data": [as_openai_model(row) for row in listed.models]})


async def get_openai_model(request: Request) -> Response:
    """GET /v1/models/{id}: one model, by identifier or key."""
    person = await authenticate(request, "models")
    wanted = request.path_params["identifier"]
    listed = await catalogue.catalogue_cache.get(person)
    row = next((m for m in listed.models if wanted in {m["identifier"], m["model_key"]}), None)
    if row is None:
        raise ModelNotFound(f'There is no active model "{wanted[:100]}".')
    return JSONResponse(as_openai_model(row))

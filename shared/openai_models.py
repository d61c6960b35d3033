"""`GET /v1/models` for the SDKs of OpenAI and Anthropic. Both llms and chat serve it, as an SDK may have either URL."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared import catalogue
from shared.auth import authenticate
from shared.catalogue import as_anthropic_model, as_openai_model
from shared.errors import ModelNotFound


async def list_openai_models(request: Request) -> Response:
    """GET /v1/models: the models that a user can choose, in OpenAI's format or Anthropic's."""
    person = await authenticate(request, "models")
    listed = await catalogue.catalogue_cache.get(person)
    data = [_shown(row, request) for row in listed.models]
    if not _is_anthropics(request):
        return JSONResponse({"object": "list", "data": data})
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return JSONResponse({"data": data, "has_more": False} | ends)


async def get_openai_model(request: Request) -> Response:
    """GET /v1/models/{id}: one model, by identifier or key."""
    person = await authenticate(request, "models")
    wanted = request.path_params["identifier"]
    listed = await catalogue.catalogue_cache.get(person)
    row = next((m for m in listed.models if wanted in {m["identifier"], m["model_key"]}), None)
    if row is None:
        raise ModelNotFound(f'There is no active model "{wanted[:100]}".')
    return JSONResponse(_shown(row, request))


def _shown(row: dict[str, Any], request: Request) -> dict[str, Any]:
    return as_anthropic_model(row) if _is_anthropics(request) else as_openai_model(row)


def _is_anthropics(request: Request) -> bool:
    """Whether the client is one of Anthropic's API, whose requests have this header."""
    return "anthropic-version" in request.headers

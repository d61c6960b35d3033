"""llms: the models people can choose from, for frontends and for OpenAI's SDKs, and what their own nodes offer.

And for operators: whether all that a turn leans on is there.
"""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.llms.contract import DESCRIPTION, DIAGNOSE, LIST, PROBE, TEST
from functions.llms.diagnostics import show_diagnostics, test_connection
from functions.llms.nodes import probe_node
from shared import catalogue
from shared.auth import authenticate
from shared.endpoint import answer, routes
from shared.health import healthy, ready
from shared.openai_models import MODEL_OPERATIONS, get_openai_model, list_openai_models
from shared.openapi import HEALTH_OPERATIONS, serving


async def list_models(request: Request) -> Response:
    """GET /: active models by display order; 304 when the caller has this list already."""
    person = await authenticate(request)
    listed = await catalogue.kept.get(person.token)
    headers = {"ETag": listed.etag, "Cache-Control": "private, no-cache"}
    told = ",".join(request.headers.getlist("if-none-match"))
    known = {tag.strip().removeprefix("W/") for tag in told.split(",")}
    if headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(listed.body, headers=headers, media_type="application/json")


TABLE = {
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
show_document, document = serving(
    "Parley llms",
    DESCRIPTION,
    TABLE,
    {
        list_models: LIST,
        probe_node: PROBE,
        show_diagnostics: DIAGNOSE,
        test_connection: TEST,
        **MODEL_OPERATIONS,
        **HEALTH_OPERATIONS,
    },
)
ROUTES = routes(TABLE | {"GET /openapi.json": show_document})


@functions_framework.aio.http
async def llms(request: Request) -> Response:
    """The function."""
    return await answer(request, ROUTES)

"""llms: lists the models that a user can choose, for frontends and OpenAI's SDKs, and probes client nodes.

Admins can test everything that a turn needs, and Prometheus reads the deployment's numbers.
"""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from shared import catalogue
from shared.auth import authenticate
from shared.endpoint import on_demand, respond, routes, with_document
from shared.health import healthy, ready
from shared.openai_models import get_openai_model, list_openai_models


async def list_models(request: Request) -> Response:
    """GET /: active models by display order; 304 when the client has this list already."""
    person = await authenticate(request, "models")
    catalogue_list = await catalogue.catalogue_cache.get(person)
    headers = {"ETag": catalogue_list.etag, "Cache-Control": "private, no-cache"}
    tags = ",".join(request.headers.getlist("if-none-match"))
    known = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
    if headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(catalogue_list.body, headers=headers, media_type="application/json")


TABLE = {
    "GET /": list_models,
    "GET /llms": list_models,
    "GET /api/llms": list_models,
    "GET /ai/models": list_models,
    "GET /v1/models": list_openai_models,
    "GET /v1/models/{identifier:path}": get_openai_model,
    "POST /nodes/{id}/probe": on_demand("functions.llms.nodes", "probe_node"),
    "GET /debug": on_demand("functions.llms.debug.diagnostics", "show_diagnostics"),
    "POST /debug/test": on_demand("functions.llms.debug.diagnostics", "test_connection"),
    "GET /metrics": on_demand("functions.llms.metrics", "show_metrics"),
    "GET /health": healthy,
    "GET /health/ready": ready,
}
ROUTES = routes(with_document(TABLE, "llms"))


@functions_framework.aio.http
async def llms(request: Request) -> Response:
    """The response to any request of this function."""
    return await respond(request, ROUTES)

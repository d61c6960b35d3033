"""GET /health and GET /health/ready, the same for every function; neither ever spends a token."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared import supabase
from shared.errors import DatabaseUnavailable, NotConfigured


async def healthy(_request: Request) -> Response:
    """200 without touching anything."""
    return JSONResponse({"status": "ok"})


async def ready(_request: Request) -> Response:
    """200 when the database answers within a second, else 503, which names a variable that is missing."""
    try:
        await supabase.select("llm_models?select=id&limit=1", supabase.as_service(), timeout_seconds=1.0)
    except DatabaseUnavailable:
        raise
    except NotConfigured as error:
        raise DatabaseUnavailable(error.message) from error
    except Exception as error:
        raise DatabaseUnavailable("The database does not answer as expected.") from error
    return JSONResponse({"status": "ready"})

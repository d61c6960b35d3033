"""GET /health and GET /health/ready of every function; neither calls a model."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared import ledger_calls
from shared.config import settings
from shared.errors import DatabaseUnavailable, DependencyDown, NotConfigured
from shared.secrets import secrets
from shared.variables import DIRECT_REQUIRED, REQUIRED


async def healthy(_request: Request) -> Response:
    """200, without checks."""
    return JSONResponse({"status": "ok"})


async def ready(_request: Request) -> Response:
    """200 if all variables are right and the database answers within a second; else 503 with the wrong variables."""
    return await _ready(DIRECT_REQUIRED if ledger_calls.is_direct() else REQUIRED)


async def service_ready(_request: Request) -> Response:
    """As `ready`, for a function that uses only the service key and needs no publishable key."""
    return await _ready(("SUPABASE_URL", "SUPABASE_SERVICE_KEY"))


async def _ready(required: tuple[str, ...]) -> Response:
    try:
        await secrets.ready()
        _refuse_wrong_variables(required)
        await ledger_calls.check(1.0)
    except DependencyDown:
        raise
    except NotConfigured as error:
        raise DatabaseUnavailable(error.message) from error
    except Exception as error:
        raise DatabaseUnavailable("The database does not answer as expected.") from error
    return JSONResponse({"status": "ready"})


def _refuse_wrong_variables(required: tuple[str, ...]) -> None:
    if wrong := settings().wrong_variables(required):
        names = list(dict.fromkeys(each.name for each in wrong))
        raise DatabaseUnavailable(". ".join(map(str, wrong)) + ".", metadata={"variables": names})

"""CORS: which origins may read responses, and what preflight requests get."""

from __future__ import annotations

import re

from starlette.requests import Request

from shared.addresses import admits
from shared.config import settings

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_EXPOSED_HEADERS = (
    "x-request-id, retry-after, x-should-retry, www-authenticate, etag, age, x-cache, idempotent-replayed, x-model, "
    "x-fallbacks, x-ignored-params, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, "
    "x-ratelimit-reset-requests, x-budget-remaining-usd, x-vercel-ai-ui-message-stream"
)


def cors_headers(request: Request) -> dict[str, str]:
    """The headers that let a browser read the response; CORS_ORIGINS decides whether the origin is admitted."""
    origin = request.headers.get("origin")
    if not origin or not admits(settings().cors_origins, origin):
        return {"Vary": "Origin"}
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED_HEADERS}


def preflight_headers(request: Request, allowed: set[str]) -> dict[str, str]:
    """The headers of the response to OPTIONS; `allowed` are the methods of the path."""
    methods = ", ".join(sorted(allowed | {"OPTIONS"}))
    headers = {"Allow": methods}
    if "Access-Control-Allow-Origin" in cors_headers(request):
        headers |= {"Access-Control-Allow-Methods": methods, "Access-Control-Max-Age": "7200"}
        if names := _requested_headers(request):
            headers["Access-Control-Allow-Headers"] = names
    return headers


def _requested_headers(request: Request) -> str:
    """The well-formed names that the browser asks for; an admitted origin may send any header, as SDKs add some."""
    names = ",".join(request.headers.getlist("access-control-request-headers")).split(",")
    return ", ".join(name for name in map(str.strip, names) if _HEADER_NAME.fullmatch(name))

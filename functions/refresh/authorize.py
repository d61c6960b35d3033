"""Who may start a run: the cron secret, Google's scheduler, an admin, and AWS's own schedule; nobody else."""

from __future__ import annotations

import hmac
import json

import jwt
from starlette.requests import Request

from functions.refresh import google_oidc
from shared.auth import authenticate, bearer_token
from shared.config import settings
from shared.errors import NotFound, Unauthenticated
from shared.log import log

_MIN_SECRET_LENGTH = 32


async def authorize(request: Request) -> str:
    """What started the run, for its row. Raises Unauthenticated, and KeysUnavailable when a token cannot be checked.

    A secret that is unset or short admits nobody.
    """
    secret = settings().get("CRON_SECRET")
    if secret and len(secret) < _MIN_SECRET_LENGTH:
        log("cron_secret_refused", problem=f"CRON_SECRET {settings().wrong('CRON_SECRET')}")
    token = bearer_token(request)
    if len(secret) >= _MIN_SECRET_LENGTH and hmac.compare_digest(token.encode(), secret.encode()):
        return "cron-secret"
    if _issuer(token) in google_oidc.ISSUERS:
        await google_oidc.verify(token)
        return "google-oidc"
    if (await authenticate(request)).is_admin:
        return "admin"
    raise Unauthenticated("This token may not start a refresh.")


def authorize_event(request: Request) -> str:
    """`aws-event` for an event that Lambda itself delivered. Raises NotFound for everybody else.

    The Lambda Web Adapter sets this header on every request, in place of what the caller sent: null for an event, an
    object for a function URL's request. Elsewhere it is anybody's, so it counts only where Lambda says we are in it.
    """
    is_lambda = bool(settings().get("AWS_LAMBDA_FUNCTION_NAME"))
    if is_lambda and request.headers.getlist("x-amzn-request-context") == ["null"]:
        return "aws-event"
    raise NotFound("There is nothing at this path.")


def is_event(request: Request) -> bool:
    """Whether Lambda delivered this by itself, be it an event that `authorize_event` knows or not.

    It opens nothing: it only tells failures that Lambda must hear of from those of a function URL's caller, whose
    request always has a context.
    """
    contexts = request.headers.getlist("x-amzn-request-context")
    return bool(settings().get("AWS_LAMBDA_FUNCTION_NAME")) and not any(map(_is_context, contexts))


def _is_context(text: str) -> bool:
    try:
        context = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(context, dict) and bool(context)


def _issuer(token: str) -> str:
    """Who a token claims to be from, to know who can check it; nothing is believed of it here."""
    try:
        return str(jwt.decode(token, options={"verify_signature": False}).get("iss"))
    except jwt.PyJWTError:
        return ""
